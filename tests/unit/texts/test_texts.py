"""Every text for people is in `tr(...)`, the extractor finds it, and a second language shows it."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import texts_in_code
from babel.messages import Catalog, frontend, mofile, pofile

from edgelab import targets, texts
from edgelab.errors import TargetError
from edgelab.machine import artifacts

pytestmark = pytest.mark.slow

ROOT = artifacts.PROJECT_ROOT
TESTS = Path(__file__).resolve().parents[2]
MODULES = texts_in_code.sources()
# Whole modules of which every literal of two words or more is looked at.
READ_WHOLE = ("exercises/", "environment.py", "errors.py", "gpu_adapter.py", "native_probes.py")

NAMES = "names of products and programs, with their versions"
LOOKED_UP = "a name that code looks up; `tr(name)` shows it, and PROBES marks it for translators"
ASKED = "part of an exercise's question, or of the right answer: the notebook says it in this form"
OTHERS = "what another program prints"
MARKUP = "HTML, SVG or the name of a style"
SHOWN_ENGLISH = {
    "Coral USB Accelerator ": NAMES,
    "ONNX Runtime ": NAMES,
    "libnvinfer ": NAMES,
    "tensorrt ": NAMES,
    "coremltools ": NAMES,
    "int8 weights": "a value of an option, which code looks up",
    "a library": "what a made-up library gives in a check, never shown",
    "made for the check": "the source of a dataset of a check, never shown",
    "software on the CPU": "a kind of GPU that code looks for",
    "no difference shown": ASKED,
    "not callable": OTHERS,
    "lower left": MARKUP,
}
PATTERNS = {
    r"\(\w+, \w+\)$|missing: \w+$": ASKED,
    r"runtime \d\.\d\.\d, model": ASKED,
    r"Bus 00\d |unable to initialize libusb|\d+ libs found in cache": OTHERS,
    r"Pillow==|ai_edge_litert==|# environment of": OTHERS,
    r"Operator +Count|Mapped to Edge TPU": OTHERS,
    r"Selected adapter|Warning: |No .*adapters": OTHERS,
    r"vkCreateInstance": OTHERS,
    r"Connection timed out$|Permission denied \(none needed\)$": OTHERS,
    r"<\w|;?\w+[-:]\w+.*[;\"=]|\" |l5 5l": MARKUP,
    r"(NVIDIA|TensorFlow|LiteRT|Core ML|Edge TPU|RKNN|Snapdragon|Operating|Real) ?\w*$": LOOKED_UP,
}
MARKED_NAMES = {"self.name", "finding.name", "provenance"}  # by tr_later, where they are listed


def unexplained(found):
    def is_explained(text):
        return text in SHOWN_ENGLISH or any(re.match(pattern, text) for pattern in PATTERNS)

    return [f"edgelab/{name}:{line} {text!r}" for name, line, text in found if not is_explained(text)]


# ------------------------------------------------------------------------------------------------ the code


def test_errors_exercises_and_reports_hold_no_text_outside_tr():
    shown = {**texts_in_code.SHOWN, **dict.fromkeys(texts_in_code.error_classes(MODULES), 0)}
    helpers = texts_in_code.makers(MODULES, set(shown))
    assert {"refuse", "_package", "_failure"} <= helpers
    found = [
        (module.name, *row)
        for module in MODULES
        for row in texts_in_code.untranslated(module, shown, helpers)
    ]
    assert not unexplained(found), "wrap these in tr(...), or say here why not"


def test_exercises_and_the_environment_hold_no_sentence_outside_tr():
    read = [module for module in MODULES if module.name.startswith(READ_WHOLE)]
    found = [(module.name, *row) for module in read for row in texts_in_code.sentences(module)]
    assert not unexplained(found), "wrap these in tr(...), or say here why not"


def test_every_exception_is_needed():
    nodes = [node for module in MODULES for node in ast.walk(module.tree) if isinstance(node, ast.Constant)]
    literals = {node.value for node in nodes if isinstance(node.value, str)}
    assert set(SHOWN_ENGLISH) <= literals
    for pattern in PATTERNS:
        assert any(re.match(pattern, text) for text in literals), pattern


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_what_is_translated_is_a_literal_with_its_values_named(module):
    for call, arguments in texts_in_code.translated(module):
        where = f"edgelab/{module.name}:{call.lineno}"
        assert not any(isinstance(outer, ast.JoinedStr) for outer in module.around(call)), (
            f"{where}: before Python 3.12 the extractor cannot look into f-strings"
        )
        given = {keyword.arg for keyword in call.keywords}
        given |= {"count"} if len(arguments) == 2 else set()
        for text in arguments:
            if not isinstance(text, ast.Constant):
                assert ast.unparse(text) in MARKED_NAMES, f"{where}: not a literal"
            elif given:
                assert texts_in_code.placeholders(text.value) == given, f"{where}: {text.value!r}, {given}"


# ---------------------------------------------------------------------------------------- a second language


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """What `make texts` extracts."""
    [recipe] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "frontend extract" in line]
    path = tmp_path_factory.mktemp("texts") / "edgelab.pot"
    words = shlex.split(recipe.partition("frontend ")[2])
    words[words.index("-o") + 1] = str(path)
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        frontend.CommandLineInterface().run(["pybabel", "-q", *words])
    finally:
        os.chdir(before)
    with path.open("rb") as file:
        return pofile.read_po(file)


def write_catalogue(path, translated, locale="de"):
    catalogue = Catalog(locale=locale)
    for english, foreign in translated.items():
        catalogue.add(english, foreign)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        mofile.write_mo(file, catalogue)
    return path


@pytest.fixture
def in_language(monkeypatch, tmp_path):
    """Switches this process to a language made of the given translations."""

    def switch(translated, locale="de"):
        path = write_catalogue(tmp_path / "draft.mo", translated, locale)
        monkeypatch.setenv("EDGELAB_LANGUAGE", str(path))
        texts._catalogue.cache_clear()

    yield switch
    texts._catalogue.cache_clear()


def test_the_extractor_finds_every_text(template):
    written = {"or"}  # in texts.py itself
    for module in MODULES:
        for _, arguments in texts_in_code.translated(module):
            found = tuple(text.value for text in arguments if isinstance(text, ast.Constant))
            if found:
                written.add(found if len(found) == 2 else found[0])
    assert {message.id for message in template if message.id} == written
    assert len(written) > 1000


def test_a_placeholder_that_does_not_explain_itself_has_a_note_for_translators(template):
    vague = {"part", "refusal", "role", "wanted", "what", "where", "whose"}
    unexplained = [
        message.id
        for message in template
        if isinstance(message.id, str)
        and "python-brace-format" in message.flags
        and vague & set(re.findall(r"{(\w+)", message.id))
        and not any(comment.startswith("Note: {") for comment in message.auto_comments)
    ]
    assert not unexplained, "write `# Note: {placeholder} is ...` in the line before tr("


MARKED = re.compile("⟦[^⟦⟧]*⟧")
NOT_TEXT = re.compile(r"<svg.*?</svg>|<[^<>]*>", re.DOTALL)
OUR_NAMES = re.compile(r"CUDA|Vulkan|Python|Google Chrome|Chromium|Chrome|Microsoft Edge|Firefox")


def english_in(text):
    """Words outside the brackets that the made-up language puts around each text."""
    text, more = OUR_NAMES.sub("", NOT_TEXT.sub(" ", text)), 1
    while more:
        text, more = MARKED.subn("", text)
    return re.findall(r"[^\W\d_]{2,}", text)


@pytest.fixture(scope="module")
def shown(template, tmp_path_factory):
    """What `shown_texts.py` prints in a language that puts ⟦ and ⟧ around every text."""
    folder = tmp_path_factory.mktemp("language")
    marked = {
        message.id: tuple(f"⟦{text}⟧" for text in message.id)
        if isinstance(message.id, tuple)
        else f"⟦{message.id}⟧"
        for message in template
        if message.id
    }
    settings = {
        **os.environ,
        "EDGELAB_LANGUAGE": str(write_catalogue(folder / "marked.mo", marked)),
        "EDGELAB_ARTIFACTS": str(folder),
        "PYTHONPATH": str(TESTS),
        "EDGELAB_DATA": "",
    }
    run = subprocess.run(
        [sys.executable, str(TESTS / "shown_texts.py")],
        env=settings,
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["errors", "exercises", "progress", "guesses", "environment", "targets"])
def test_a_second_language_leaves_no_english(shown, kind):
    assert shown[kind] and any("⟦" in text for text in shown[kind])
    left = {text: words for text in shown[kind] if (words := english_in(text))}
    assert not left


def test_a_translation_with_broken_placeholders_falls_back_to_english(in_language):
    broken = {"There is no target {name!r}.": "Kein Ziel {ziel!r}.", "choose from {names}": "wähle {names"}
    in_language(broken)
    with pytest.raises(TargetError) as caught:
        targets.get("nowhere")
    assert caught.value.what == "There is no target 'nowhere'."
    assert caught.value.fix.startswith("choose from cpu")


def test_a_plural_follows_the_language(in_language):
    in_language(
        {
            ("{count} guess checked", "{count} guesses checked"): (
                "{count} próba",
                "{count} próby",
                "{count} prób",
            )
        },
        locale="pl",
    )
    made = [texts.tr_plural("{count} guess checked", "{count} guesses checked", count) for count in (1, 3, 5)]
    assert made == ["1 próba", "3 próby", "5 prób"]


def test_a_language_needs_a_catalogue_and_no_code(monkeypatch, tmp_path):
    write_catalogue(tmp_path / "de/LC_MESSAGES/edgelab.mo", {"Not done yet": "Noch nicht fertig"})
    monkeypatch.setattr(texts, "LOCALE_DIR", tmp_path)
    for language, expected in (
        ("de_AT", "Noch nicht fertig"),
        ("nowhere", "Not done yet"),
        ("", "Not done yet"),
    ):
        monkeypatch.setenv("EDGELAB_LANGUAGE", language)
        texts._catalogue.cache_clear()
        assert texts.tr("Not done yet") == expected
    texts._catalogue.cache_clear()


def test_without_the_variable_everything_is_english(monkeypatch):
    monkeypatch.delenv("EDGELAB_LANGUAGE", raising=False)
    texts._catalogue.cache_clear()
    with pytest.raises(TargetError, match=r"There is no target 'nowhere'\.\nWhat to do: choose from cpu"):
        targets.get("nowhere")
    assert texts.tr("") == "" and texts.tr("{as it is}") == "{as it is}"
    assert texts.tr_alternatives(["int8", "uint8"]) == "int8 or uint8"
