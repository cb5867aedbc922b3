"""A student's C source, read far enough to tell whether a model in it is whole, and where it will be kept."""

from __future__ import annotations

import re

from edgelab.exercises.registry import Mistake
from edgelab.texts import tr

WHOLE_NUMBERS = {"const", "constexpr", "static", "extern", "unsigned", "signed", "int", "long", "std",
                 "size_t", "int32_t", "uint32_t", "int64_t", "uint64_t"}  # fmt: skip
# What a name may not hold that counts the bytes of half a megabyte.
TOO_SMALL = {"char", "int8_t", "uint8_t", "short", "int16_t", "uint16_t"}


def refuse_wrong(name: str, data: bytes, text: str) -> None:
    """Look at the array `name` and at its length `name_len`.

    Args:
        name: of the array, a C identifier.
        data: what it has to hold.
        text: C or C++ source.

    Raises:
        Mistake: what is missing or wrong; comments count for nothing.
    """
    text = _plain(text)
    found = re.search(rf"([^;{{}}]*)\b{name}\s*\[\s*(\w*)\s*\]\s*([^=;{{}}]*)=\s*\{{([^}}]*)\}}\s*;", text)
    if not found:
        raise Mistake(
            tr("there is no array {name}[] = {{...}};", name=name),
            tr("The array has the name that is given: unsigned char net[] = {0x00, ...}; for net."),
        )
    before, count, after, body = found.groups()
    if not text.rstrip().endswith((";", "}")):
        raise Mistake(
            tr("the last line has no end: {line}", line=text.rstrip().splitlines()[-1][:60]),
            tr("End each declaration with a semicolon, and write nothing behind it."),
        )
    _check_declaration(before, after)
    _check_bytes(data, body, count)
    _check_length(name, len(data), text, found)


def _check_declaration(before: str, after: str) -> None:
    """Of the array: no pointers, const, aligned to 16, bytes without a sign."""
    words = set(re.findall(r"\w+", before))
    if "*" in before + after:
        raise Mistake(
            tr("that is an array of pointers"), tr("Leave out the *: the array holds the bytes themselves.")
        )
    if not words & {"const", "constexpr"}:
        raise Mistake(tr("the array is not const"), tr("Without const, start-up code copies it to RAM."))
    steps = re.findall(r"(?:aligned|alignas|_Alignas|align)_*\s*\(\s*(\d+)", before + " " + after)
    if not any(int(step) % 16 == 0 and int(step) > 0 for step in steps):
        raise Mistake(
            tr("the array is aligned to {steps} bytes, not to 16", steps=", ".join(steps))
            if steps
            else tr("the array is not aligned"),
            tr("Weights are read as whole words, up to 16 bytes at once: __attribute__((aligned(16)))."),
        )
    if not ({"unsigned", "char"} <= words or "uint8_t" in words):
        raise Mistake(
            tr("the array's type is not unsigned char"),
            tr("A plain char or int8_t ends at 127, and 0xff is then another number."),
        )


def _check_bytes(data: bytes, body: str, count: str) -> None:
    """The values in the braces are those of the model, and as many as the brackets say."""
    numbers = [part.strip() for part in body.split(",") if part.strip()]
    values = []
    for number in numbers:
        try:
            values.append(_number(number))
        except ValueError:
            raise Mistake(
                tr("{number!r} is no number in C", number=number),
                tr("Write each byte as 0x00 to 0xff, without quotes."),
            ) from None
    if values != list(data):
        at = next((i for i, pair in enumerate(zip(values, data, strict=False)) if pair[0] != pair[1]), None)
        raise Mistake(
            tr("{count} bytes expected, got {got}", count=len(data), got=len(values))
            if at is None
            else tr("byte {at} is {expected}, got {got}", at=at, expected=data[at], got=values[at]),
            tr("Every byte, in order: none is a separator, and a 0 ends nothing."),
        )
    if count.isdecimal() and int(count) != len(data):
        raise Mistake(
            tr("the brackets say {count}, there are {expected} bytes", count=count, expected=len(data)),
            tr("Leave the brackets empty: the compiler counts."),
        )


def _check_length(name: str, count: int, text: str, array: re.Match[str]) -> None:
    """The number NAME_len, wherever it is; `sizeof` knows an array only below it."""
    found = re.search(rf"([^;{{}}]*)\b{name}_len\s*=\s*([^;]+);", text)
    of_one = rf"(?:{name}\s*\[\s*0\s*\]|\*\s*{name}|unsigned\s+char|uint8_t)"
    by_size = rf"sizeof\s*(?:\(\s*{name}\s*\)|{name})(?:\s*/\s*sizeof\s*\(\s*{of_one}\s*\))?"
    if found and re.fullmatch(by_size, found[2].strip()):
        if found.start(2) < array.start():
            raise Mistake(
                tr("sizeof({name}) is above the array", name=name),
                tr("C is read from top to bottom: the array first, then its size."),
            )
        value = count
    else:
        try:
            value = _number(found[2]) if found else None
        except ValueError:
            value = None
    if value != count:
        raise Mistake(
            tr("{name}_len = {count} is missing", name=name, count=count),
            tr("The firmware cannot ask an array for its length."),
        )
    words = set(re.findall(r"\w+", found[1]))
    if unknown := sorted(words - WHOLE_NUMBERS - TOO_SMALL):
        raise Mistake(
            tr("{word!r} is no type of C", word=unknown[0]),
            tr("End each line with a semicolon, and declare the length as const unsigned int."),
        )
    if words & TOO_SMALL:
        raise Mistake(
            tr("{name}_len has a type of 8 or 16 bits", name=name),
            tr("A model of half a megabyte has more bytes than such a type can count: unsigned int."),
        )


def _plain(text: str) -> str:
    """C without comments and preprocessor lines; what `#define` names is put in."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    macros = re.findall(r"^[^\S\n]*#[^\S\n]*define[^\S\n]+(\w+)[^\S\n]+(.+)$", text, re.MULTILINE)
    text = re.sub(r"^[^\S\n]*#.*$", "", text, flags=re.MULTILINE)
    for name, body in dict(macros).items():
        text = re.sub(rf"\b{name}\b", lambda _, body=body: body, text)
    return text


def _number(text: str) -> int:
    """A whole number as C writes it: 255, 0xff, 0377, 255u.

    Raises:
        ValueError: it is none.
    """
    digits = text.strip().rstrip("uUlL")
    return int(digits, 8) if re.fullmatch(r"0[0-7]+", digits) else int(digits, 0)
