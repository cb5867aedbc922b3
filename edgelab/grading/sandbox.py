"""The process that a student's code runs in: `python -m edgelab.grading.sandbox`.

It reads one line that says what to run, locks itself in, runs it, and then serves calls of the answer until
its input ends. It holds no check and no grade: whatever the code does to it, only its answers leave it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np  # noqa: F401 - loaded before the door shuts

from edgelab.grading import wire

EXERCISE = "<exercise>"
LONGEST_TEXT = 500


class Interrupted(Exception):  # noqa: N818 - not an error of this process
    """The other side has gone."""


class Server:
    """The conversation with the grader.

    Args:
        requests, replies: binary streams.
        source: the student's cell, for its lines in messages.
    """

    def __init__(self, requests: BinaryIO, replies: BinaryIO, source: str) -> None:
        self._requests, self._replies, self._lines = requests, replies, source.splitlines()
        self._functions: list[Callable] = []

    def number(self, function: Callable) -> int:
        """The number under which the grader may call a function."""
        self._functions.append(function)
        return len(self._functions) - 1

    def send(self, **message: Any) -> None:
        """Send one message."""
        self._replies.write(wire.to_line(message))
        self._replies.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for one message."""
        line = self._requests.readline()
        if not line:
            raise Interrupted
        return wire.from_line(line)

    def _ask_back(self, number: int, arguments: tuple) -> Any:
        """Call a function that the check has handed to the student's code."""
        self.send(callback=number, args=[wire.encode(argument, self.number) for argument in arguments])
        reply = self.receive()
        if "error" in reply:
            raise wire.make_error(reply["error"]["name"], reply["error"]["message"])
        return self._decoded(reply["value"])

    def _decoded(self, value: Any) -> Any:
        def stub(number: int) -> Callable:
            return lambda *arguments: self._ask_back(number, arguments)

        return wire.decode(value, stub, records=True)

    def send_value(self, value: Any, changed: dict[int, Any]) -> None:
        """Send a result, and the arguments that the call has changed in place."""
        encoded = {str(index): wire.encode(argument, self.number) for index, argument in changed.items()}
        self.send(value=wire.encode(value, self.number), changed=encoded)

    def send_error(self, error: BaseException) -> None:
        """Send an exception: its name, its words, and the line of the student's code that raised it."""
        number, trace = 0, error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == EXERCISE:
                number = trace.tb_lineno
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename == EXERCISE:
            number = error.lineno or 0
        try:
            message = str(error)[:LONGEST_TEXT]
        except Exception:
            message = ""
        line = self._lines[number - 1].strip() if 0 < number <= len(self._lines) else ""
        facts = {"name": type(error).__name__, "message": message, "line": number, "source": line[:200]}
        self.send(error=facts)

    def serve(self) -> None:
        """Answer calls until the input ends."""
        while True:
            try:
                request = self.receive()
            except Interrupted:
                return
            try:
                self._serve_call(request)
            except Interrupted:
                return
            except BaseException as error:
                self.send_error(error)

    def _serve_call(self, request: dict[str, Any]) -> None:
        function = self._functions[request["call"]]
        arguments = [self._decoded(argument) for argument in request["args"]]
        before = [_image(argument) for argument in arguments]
        if request.get("launch"):
            function = _launched(function, request["launch"], count=request["count"])
        result = function(*arguments, **{key: self._decoded(v) for key, v in request["kwargs"].items()})
        changed = {
            index: argument
            for index, argument in enumerate(arguments)
            if before[index] is not None and _image(argument) != before[index]
        }
        self.send_value(result, changed)


def _image(argument: Any) -> bytes | None:
    """What tells whether an argument was changed in place; None for what cannot be."""
    if argument is None or isinstance(argument, str | int | float | tuple) or callable(argument):
        return None
    return wire.to_line({"": wire.encode(argument, lambda function: 0)})


def _launched(function: Callable, launch: list[Any], *, count: bool) -> Callable:
    from edgelab.processor_models import counted, simt

    if count:
        return lambda *arguments: astuple(counted.run(function, *launch, *arguments))
    kernel = function if hasattr(function, "__getitem__") else simt.load()[0].jit(function)
    return kernel[tuple(launch)]


def prepare(statements: list[str], namespace: dict[str, Any]) -> None:
    """Run what the chapter has defined before the exercise. What fails is missing, as its use will show."""
    for statement in statements:
        try:
            exec(compile(statement, "<chapter>", "exec"), namespace)
        except Exception:
            continue


class _Shell:
    """Stands for IPython's shell: magics and shell lines do nothing here."""

    def __getattr__(self, name: str) -> Callable[..., list]:
        return lambda *args, **kwargs: []


# What every notebook has without an import; shown is nothing.
NOTEBOOK = {
    "get_ipython": _Shell,
    "display": lambda *args, **kwargs: None,
    **dict.fromkeys(("_", "__", "___"), None),
}


def run_cell(source: str, answer: str, namespace: dict[str, Any]) -> None:
    """Run the student's cell, statement by statement.

    A line that fails below the answer is a note of the student's, such as a print of what only the whole
    chapter has: what is defined by then is graded, as it would be in the next cell of the notebook. Above the
    answer, an import of what is not installed here is a note, too, and so is a line that only does something.

    Args:
        source: the cell, as Python.
        answer: the expression that the check looks at.
        namespace: where it runs.

    Raises:
        BaseException: what the cell raises before it has defined the answer.
    """
    asked = {node.id for node in ast.walk(ast.parse(answer)) if isinstance(node, ast.Name)}
    tree = ast.parse(source, EXERCISE)
    defined: set[str] = set()
    for statement in tree.body:
        try:
            exec(compile(ast.Module([statement], []), EXERCISE, "exec"), namespace)
        except BaseException as error:
            if asked <= defined:
                return
            is_note = isinstance(statement, ast.Expr) and isinstance(error, Exception)
            if isinstance(error, PermissionError) or not (is_note or isinstance(error, ImportError)):
                raise
            continue
        defined |= {name for name in asked if name in namespace and _defines(statement, name)}


def _defines(statement: ast.stmt, name: str) -> bool:
    return any(
        getattr(node, "name", None) == name
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        for node in ast.walk(statement)
    )


def main() -> None:
    """Read the task, lock up, run it, serve."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    task = wire.from_line(requests.readline())
    if task["locked"]:
        from edgelab.grading import lockdown

        lockdown.limit(task["memory_bytes"], task["cpu_s"])
        lockdown.lock(map(Path, task["readable"]), map(Path, task["listable"]))
    server = Server(requests, replies, task["source"])
    namespace: dict[str, Any] = {"__name__": "__main__", **NOTEBOOK}
    try:
        prepare(task["statements"], namespace)
        run_cell(task["source"], task["answer"], namespace)
        value = eval(task["answer"], namespace)
        server.send_value(value, {})
    except BaseException as error:
        server.send_error(error)
    server.serve()


if __name__ == "__main__":
    main()
