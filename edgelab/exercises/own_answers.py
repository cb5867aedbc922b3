"""The student's own functions, each in a file of `artifacts/answers`: a later chapter goes on with them."""

from __future__ import annotations

import builtins
import dis
import inspect
import textwrap
import types
from pathlib import Path
from typing import Any

from edgelab.machine import artifacts

_LAST_LINE = "answer = "
_CONSTANTS = (bool, int, float, str, bytes)


def _path(key: str) -> Path:
    return artifacts.artifacts_dir() / "answers" / f"{key}.py"


def keep(key: str, answer: Any) -> None:
    """Write a function with the modules, constants and functions of the notebook that it needs.

    Args:
        key: chapter and number, such as "04.2".
        answer: what has passed the check. What cannot be made again from its text alone is not kept.

    Raises:
        StorageError: it cannot be written.
    """
    source = _source(answer) if isinstance(answer, types.FunctionType) else None
    if source:
        with artifacts.atomic_path(_path(key)) as temporary:
            temporary.write_text(f"{source}\n{_LAST_LINE}{answer.__name__}\n", encoding="utf-8")


def load(key: str) -> Any:
    """The function kept for an exercise; None where there is none, or its file is damaged.

    Args:
        key: chapter and number, such as "04.2".
    """
    path = _path(key)
    names: dict[str, Any] = {"__name__": "own_answers"}
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    except Exception:  # no file, or one that somebody has changed
        return None
    return names.get("answer")


def _source(function: types.FunctionType) -> str | None:
    """Its text, below all that it needs; None where it needs what no text tells."""
    parts: list[str] = []
    waiting, done = [function], {function.__name__}
    while waiting:
        one = waiting.pop()
        text = _text_of(one)
        if text is None:
            return None
        parts.insert(0, text)
        for name in _globals_of(one.__code__):
            if name in done or (name not in one.__globals__ and hasattr(builtins, name)):
                continue
            done.add(name)
            value = one.__globals__.get(name)
            if isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
                waiting.append(value)
            elif line := _line_for(name, value):
                parts.insert(0, line)
            else:
                return None
    return "\n".join(parts)


def _text_of(function: types.FunctionType) -> str | None:
    if function.__closure__ or function.__name__ == "<lambda>":
        return None
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return None


def _globals_of(code: types.CodeType) -> list[str]:
    names = [step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _globals_of(constant)
    return names


def _line_for(name: str, value: Any) -> str:
    """The line that makes a name again; empty where there is none."""
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}\n"
    if type(value) in _CONSTANTS:
        return f"{name} = {value!r}\n"
    module, found = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module not in (None, "__main__") and found.isidentifier():
        return f"from {module} import {found} as {name}\n"
    return ""
