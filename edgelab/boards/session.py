"""A model open on a board, as a `Session` here: inputs go there, outputs come back, the clock is read there.

`time_runs` sends the inputs once and gets the board's own nanoseconds of each run, so that the link never
counts; whatever measures sessions (`edgelab.benchmark`) uses it.
"""

from __future__ import annotations

import io
import json
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.boards import kit, remote
from edgelab.boards.channel import ANSWER_S
from edgelab.boards.facts import Facts
from edgelab.boards.link import Link
from edgelab.boards.registry import Board
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import TensorSpec, check_inputs
from edgelab.runtime.placement import Placement
from edgelab.runtime.session import ClosesAtEnd
from edgelab.texts import tr

LENGTH = struct.Struct(">Q")  # as `server` has it, which is imported on boards alone
RUN_S = 120.0  # a run, or a call of `time_runs`, and the way there and back


class BoardMeter:
    """Energy that a board's own counter showed around runs timed there; it is read there, never from here.

    Args:
        name: of the counter, with its rail.
        used_mj: tells the energy of all runs timed so far; NaN once the counter has stopped.
    """

    covers_board = True

    def __init__(self, name: str, used_mj: Callable[[], float]) -> None:
        self.name, self._used_mj = name, used_mj
        self._before_mj = used_mj()

    def sample(self) -> None:
        """Nothing to read: each answer of the board has brought what its runs used."""

    def energy_mj(self) -> float:
        """Energy since it began, in mJ.

        Raises:
            TargetError: the counter stopped meanwhile.
        """
        if np.isnan(found := self._used_mj() - self._before_mj):
            raise TargetError(
                tr("The energy counter of the board stopped while it was read."),
                fix=tr("measure again; `sensors` on the board, or dmesg, may tell why"),
            )
        return found


class BoardSession(ClosesAtEnd):
    """A model open on a board; it holds the board's lock until it is closed.

    Args:
        board: whose kit is installed.
        model: a `.tflite` file, compiled where a delegate takes compiled ones.
        threads: of the CPU there.
        delegate: a library on the board, such as "libedgetpu.so.1"; "" runs on its CPU.
        target: the target's name in tables; "cpu", or the delegate's name.
        placement: of a compiled model, where it is known.
        specs: inputs and outputs of a `.rknn` file: the runtime there does not tell them.
        asks: whether ssh may ask for a password.

    Attributes:
        facts: what the board is.
        last_ms: how long the last `run` took there, by its clock; None on an emulated board.

    Raises:
        TargetError: the board cannot be reached, is in use, lacks the kit or space.
        ModelError: the runtime there refuses the model.
    """

    def __init__(
        self,
        board: Board,
        model: Path,
        *,
        threads: int = 1,
        delegate: str = "",
        target: str = "",
        placement: Placement | None = None,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]] | None = None,
        asks: bool = False,
    ) -> None:
        self._link = Link(board, asks=asks)
        try:
            self.facts: Facts = self._link.facts()
            remote.require_kit(self._link, self.facts)
            self._link.hold_lock()
            job = f"{remote.JOBS}/session-{secrets.token_hex(3)}"
            self._link.verb("remove", remote.JOBS)
            name = f"model{Path(model).suffix}"
            self._link.put(Path(model).read_bytes(), f"{job}/{name}")
            words = [
                remote.python_of_kit(),
                "-u",
                f"{kit.folder()}/server.py",
                name,
                "--threads",
                str(threads),
            ]
            words += ["--delegate", delegate] if delegate else []
            words += ["--rknn"] if target == "rknn" else []
            self._channel = self._link.keeper("run", job, *words)
            told = self._told(ANSWER_S * 2)
        except BaseException:
            self._link.close()
            raise
        self.inputs, self.outputs = specs or (_specs(told["inputs"]), _specs(told["outputs"]))
        self.target = target or (Path(delegate).name.split(".")[0].removeprefix("lib") if delegate else "cpu")
        self.device = self.facts.device
        self.runtime_version = f"{told['runtime']['name']} {told['runtime']['version']}"
        self.provenance = "simulated" if self.facts.emulated else "measured"
        self.placement = placement
        self.fault = ""
        self.last_ms: float | None = None
        self._counter, self._used_mj = told["counter"], 0.0

    def _told(self, limit_s: float) -> dict[str, Any]:
        """The server's first message: what the model is.

        Raises:
            ModelError: it refused the model.
        """
        try:
            kind, content = self._answer(limit_s)
        except Exception as error:
            said = self._channel.words()
            if "What to do: " in said and not self._channel.is_open:
                what, _, fix = said.strip().rpartition("\nWhat to do: ")
                raise ModelError(what.splitlines()[-1], fix=fix.splitlines()[0]) from error
            raise
        return json.loads(content) if kind == b"J" else {}

    def _answer(self, limit_s: float) -> tuple[bytes, bytes]:
        size = LENGTH.unpack(self._channel.exactly(LENGTH.size, limit_s))[0]
        content = self._channel.exactly(size, limit_s)
        return content[:1], content[1:]

    def _ask(self, arrays: tuple[np.ndarray, ...], count: int) -> dict[str, np.ndarray]:
        if self._link is None:
            raise InputError(tr("The session has been closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, arrays)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            count=np.int64(count),
            **{f"input{place:03d}": array for place, array in enumerate(arrays)},
        )
        content = b"N" + buffer.getvalue()
        try:
            self._channel.send(LENGTH.pack(len(content)) + content)
            kind, answer = self._answer(RUN_S)
        except BaseException:  # an answer that nobody waits for would be taken for the next one
            self.close()
            raise
        if kind == b"J":
            raise ModelError(
                tr("The model fails on {device}.", device=self.device),
                why=str(json.loads(answer).get("error", "")),
                fix=tr("update the runtime there, or try another model"),
            )
        with np.load(io.BytesIO(answer), allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference there.

        Args:
            inputs: arrays of exactly the shapes and types in `inputs`.

        Raises:
            InputError: they do not fit.
            LinkError: the link broke. The session is closed then, as after a stop while it waited.
        """
        found = self._ask(inputs, 0)
        self.last_ms = None if self.facts.emulated else float(found["times_ns"][0]) / 1e6
        outputs = [found[name] for name in sorted(found) if name.startswith("output")]
        if self.target == "rknn":  # the NPU's runtime may give them with another number of dimensions
            outputs = [array.reshape(spec.shape) for array, spec in zip(outputs, self.outputs, strict=True)]
        return tuple(outputs)

    def time_runs(self, inputs: tuple[np.ndarray, ...], count: int) -> list[float]:
        """Milliseconds of each of `count` runs of the same inputs, by the board's clock.

        Raises:
            InputError: they do not fit, or the board is an emulation, whose time says nothing.
            LinkError: the link broke.
        """
        if self.facts.emulated:
            raise InputError(
                tr("{device} is not timed.", device=self.device),
                why=tr("the time of an emulation says nothing about the device"),
                fix=tr("compare its outputs; time the model on a real board"),
            )
        found = self._ask(tuple(inputs), count)
        self._used_mj += float(found["energy_mj"])
        return [float(value) / 1e6 for value in found["times_ns"]]

    def energy_meter(self) -> tuple[BoardMeter | None, str]:
        """The board's counter, where it has one that holds what the runs use, and its name, or why not."""
        note = str(self._counter["note"])
        if not self._counter["is_there"]:
            return None, note
        return BoardMeter(note, lambda: self._used_mj), note

    def close(self) -> None:
        """End the program there and free the board. A second call does nothing."""
        if self._link is not None:
            self._link.close()
            self._link = None


def _specs(rows: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(**(row | {"shape": tuple(row["shape"]), "dtype": np.dtype(row["dtype"])})) for row in rows
    )
