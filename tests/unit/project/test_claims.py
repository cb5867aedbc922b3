"""The judge of sentences finds those that stay whatever is measured, and lets those pass that follow."""

import io

import claims
import numpy as np
import pytest


def found(kind, source):
    cells = [{"cell_type": kind, "id": "1", "source": source, "metadata": {}}]
    return [claim.sentence for claim in claims.in_chapter(cells)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Int8 is faster here.",
        "The loss falls, so the loop works.",
        "The accuracy falls from 92 to 40 %.",
        "Two processes share the cores, so little is won.",
        "A second look loses fewer of them.",
    ],
)
def test_a_sentence_that_states_a_result_is_found(sentence):
    assert found("markdown", f"The first one. {sentence} And the last.") == [sentence]


@pytest.mark.parametrize(
    "sentence",
    [
        "Is int8 faster here?",
        "Int8 may be faster.",
        "Where int8 is faster, take it.",
        "The nearer the two marks, the better the guess.",
        "### Faster than what",
        "Int8 is faster (Jacob et al. 2018).",
    ],
)
def test_what_asks_or_depends_is_no_statement(sentence):
    assert not found("markdown", sentence)


def test_in_code_a_condition_lets_a_text_pass_and_a_number_alone_does_not():
    assert found("code", 'print(f"int8 is {gain:.1f} times faster than float")')
    assert found("code", 'display.figure(fig, "With more threads each picture gets slower")')
    assert not found(
        "code", "print(f\"int8 is {'faster' if gain > 1 else 'slower'} here, {gain:.1f} times\")"
    )
    assert not found("code", 'print("int8 is much faster here" if gain > 1 else "int8 wins nothing here")')
    assert not found("code", 'told = {"faster": "It is faster than the CPU."}\nprint(told[verdict])')
    assert not found("code", 'rows = [{"claim": "it is four times faster", "found": f"{gain:.1f}"}]')
    either = "def text():\n    if gain > 1:\n        return 'It is faster than float.'\n"
    assert not found("code", either + "    return 'It wins nothing here.'")
    assert found("code", either.replace("return", "pass; ") + "    return 'It wins nothing here.'")


def test_in_code_words_may_be_chosen_in_a_line_before():
    by_number = 'order = "faster" if gain > 1 else "slower"\n'
    by_table = 'words = {"tie": "as fast"}\norder = words.get(verdict, "slower")\n'
    for line in (by_number, by_table):
        assert not found("code", line + 'print(f"the better file is {order} than float, {gain:.1f} times")')
    # What is chosen is no claim, or is said of something else.
    other = 'name = "int8" if gain > 1 else "float"\n'
    assert found("code", other + 'print(f"{name} is faster than the other, {gain:.1f} times")')
    assert found("code", by_number + 'print(f"int8 is faster than float, {gain:.1f} times")')
    apart = f'def text():\n    {by_number}\nprint(f"the better file is {{order}} than float")'
    assert found("code", apart)


@pytest.mark.parametrize(
    "source, is_found",
    [
        ('print(f"int8 is faster, {gain:.1f} times")', True),
        ('print(f"int8 is {\'faster\' if gain > 1 else \'slower\'}, {gain:.1f} times")', False),
        # A condition on something else does not help.
        ('print(f"int8 is {\'faster\' if SEED < 1 else \'slower\'}, {gain:.1f} times")', True),
        ('print(f"{max(times, key=times.get)} is slower, {max(times.values()):.1f} ms")', False),
        ('print(f"float is slower, {max(times.values()):.1f} ms")', True),
        ('order = "faster" if gain > 1 else "slower"\nprint(f"int8 is {order}, {gain:.1f} times")', False),
        ('order = ("slower", "faster")[gain > 1]\nprint(f"int8 is {order}, {gain:.1f} times")', False),
        ('order = "faster" if SEED < 1 else "slower"\nprint(f"int8 is {order}, {gain:.1f} times")', True),
        ('name = "int8" if gain > 1 else "float"\nprint(f"{name} is faster, {gain:.1f} times")', False),
        ('note = "here" if gain > 1 else "here"\nprint(f"int8 is faster {note}, {gain:.1f} times")', True),
        ('print(f"int8 is worse, {right.mean():.0%} right")', True),
        ('print(f"int8 is {\'good\' if right.mean() > 0.5 else \'worse\'}, {right.mean():.0%}")', False),
        ('Markdown(speed_text())', True),
        ('print(f"{gain:.1f} times")', False),
    ],
)  # fmt: skip
def test_other_results_show_what_stays(source, is_found):
    names = {"gain": 2.0, "times": {"int8": 1.0, "float": 2.5}, "SEED": 0, "Markdown": print}
    names["right"] = np.array([True, False, False])
    code = "def speed_text():\n    return f'int8 is faster, {gain:.1f} times'"
    exec(code, names)
    exec(source, names)
    names["speed_text"].__module__ = "__main__"
    before = {name: value for name, value in names.items() if name != "__builtins__"}
    assert bool(claims.stays(source, names)) == is_found
    assert before == {name: names[name] for name in before}, "the kernel's results have been changed"


def test_ranks_are_turned_round_and_flags_and_texts_stay():
    swapped = claims.PERTURBATIONS[-1]
    assert claims.perturbed({"a": 1.0, "b": 5.0, "c": 3.0}, swapped) == {"a": 5.0, "b": 1.0, "c": 3.0}
    np.testing.assert_array_equal(claims.perturbed(np.array([[1, 2], [3, 4]]), swapped), [[4, 3], [2, 1]])
    right = np.array([True, False, False])
    np.testing.assert_array_equal(claims.perturbed(right, claims.PERTURBATIONS[0]), ~right)
    assert claims.perturbed(right, swapped).tolist() in ([False, True, False], [False, False, True])
    kept = {"name": "int8", "right": True, "rows": []}
    assert claims.perturbed(kept, swapped) == kept


def test_no_more_texts_are_made_than_it_takes_to_free_a_sentence():
    """A text may cost a bootstrap: one that follows its result is made twice, one without a claim once."""
    names = {"gain": 2.0, "asked": io.StringIO(), "Markdown": print}
    code = """
def speed_text():
    asked.write("speed ")
    return f"int8 is {'faster' if gain > 1 else 'slower'}, {gain:.1f} times"

def size_text():
    asked.write("size ")
    return f"int8 has {gain:.1f} kB"
"""
    exec(code, names)
    for name in ("speed_text", "size_text"):
        names[name].__module__ = "__main__"
    assert claims.stays("Markdown(speed_text())\nMarkdown(size_text())", names) == []
    assert names["asked"].getvalue().split() == ["speed", "speed", "size"]
