"""A model loaded in a browser's page."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from edgelab import graph
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine.hardware import processor_name
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.web import files, log
from edgelab.targets.web.engine import Page
from edgelab.texts import tr

TICKS = 50  # of the page's clock in a sample, so that reading it adds 2 % at most
HELD = ("float32", "int32", "uint8", "int8")  # what LiteRT.js's tensors hold


class WebSession(ClosesAtEnd):
    """A model loaded in a page. Made by `WebTarget.open`; one thread at a time may run it.

    Attributes:
        target: "web/webgpu" or "web/wasm": in a table of results they are two.
        is_here: whether the page is surely on this computer, whose energy it then uses.
        page: where it runs.
        accelerator: "webgpu" or "wasm", as asked for.
        console: what the runtime wrote to the browser's console while it opened the model.
        complaints: those lines of it that tell of a failure, of opening and of all runs.
        runs_per_sample: inferences whose mean is one sample of `time_runs`; 0 before the first.
        number, variant: the model's in the page, None when closed, and the runtime's build there.
        load_ms, compile_ms: how long the page took for the runtime, once, and for this model.
    """

    def __init__(
        self, content: bytes, page: Page, *, accelerator: str, threads: int = 1, precision: str = "float32"
    ) -> None:
        self.number: int | None = None
        self.page, self.accelerator, self.target = page, accelerator, f"web/{accelerator}"
        self.is_here = page.place != "lab"
        described = graph.read(content)
        self.inputs, self.outputs = (_specs(described, kind) for kind in ("inputs", "outputs"))
        self.variant = variant(page, accelerator, threads)
        self.complaints: tuple[str, ...] = ()
        self.fault, self.runs_per_sample = "", 0
        answer, _ = page.ask(
            "open", [content], variant=self.variant, accelerator=accelerator, threads=threads,
            precision={"float32": "fp32", "float16": "fp16"}[precision],
        )  # fmt: skip
        self.console = [line for line in answer.get("console", []) if isinstance(line, str)]
        self._heed(self.console, answer)
        self.number = answer["model"]
        self.load_ms, self.compile_ms = float(answer["load_ms"]), float(answer["compile_ms"])
        total = len(described.operators)
        self.placement: Placement | None = log.placement(
            self.console,
            asked=accelerator,
            got=str(answer["accelerator"]),
            fully=bool(answer["fully"]),
            total=total,
        )
        self._check_tensors(answer)
        # The first run prepares what is left, and is where some models fail: it belongs to opening.
        self.run(*(np.zeros(spec.shape, spec.dtype) for spec in self.inputs))

    @property
    def provenance(self) -> str:
        """ "simulated" where the processor plays the GPU."""
        return "simulated" if self.accelerator == "webgpu" and self.page.is_software else "measured"

    @property
    def device(self) -> str:
        """The GPU as its browser calls it, or the processor."""
        if self.accelerator == "webgpu":
            name = self.page.adapter
            return tr("{name}, a software GPU", name=name) if self.page.is_software else name
        if self.page.place == "lab":  # the browser may be on another computer than the kernel
            cores = self.page.found.get("cores")
            system = str(self.page.found.get("platform") or "?")[:40]
            return tr("the browser's computer ({system}, {cores} cores)", system=system, cores=cores)
        return processor_name()

    @property
    def runtime_version(self) -> str:
        """LiteRT.js and the browser, with their versions."""
        return f"LiteRT.js {files.VERSION} {self.accelerator}, {self.page.browser}"

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, to the end: the outputs lie in Python's memory when this returns.

        Args:
            *inputs: one array for each of `self.inputs`, of exactly its shape and type.

        Returns:
            One array for each of `self.outputs`, as the model gives it: quantized outputs stay integers.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed, the page is gone or silent, or the runtime fails.
        """
        return self.run_all([inputs])[0]

    def run_all(self, rows: list[tuple[np.ndarray, ...]]) -> list[tuple[np.ndarray, ...]]:
        """As `run`, for several inputs in one message: the way to the page is paid once."""
        answer, parts = self._ask("run", rows)
        sizes = [int(np.prod(spec.shape)) * spec.dtype.itemsize for spec in self.outputs]
        if answer.get("rows") != len(rows) or [len(part) for part in parts] != sizes * len(rows):
            raise TargetError(
                tr("The page gave outputs of another size than the model's."), fix=tr("open the model again")
            )
        arrays = iter(parts)
        return [
            tuple(np.frombuffer(next(arrays), spec.dtype).reshape(spec.shape).copy() for spec in self.outputs)
            for _ in rows
        ]

    def time_runs(self, inputs: tuple[np.ndarray, ...], count: int) -> list[float]:
        """The time of `count` samples in ms, by the page's clock: the way to the page does not count.

        A sample is the mean of as many inferences as last 50 steps of that clock, from inputs in the page's
        memory to outputs there; on a GPU the copies to it and back are counted.
        """
        answer, _ = self._ask(
            "time", [inputs], count=count, batch=self.runs_per_sample, least_ms=TICKS * self.page.clock_ms
        )
        times, batch = answer.get("times_ms"), answer.get("batch")
        is_sound = isinstance(times, list) and len(times) == count and type(batch) is int and batch > 0
        if not is_sound or not all(isinstance(t, int | float) and 0 < t < math.inf for t in times):
            raise TargetError(tr("The page gave no times."), fix=tr("open the model again"))
        self.runs_per_sample = batch
        return [float(elapsed) for elapsed in times]

    def _ask(
        self, kind: str, rows: list[tuple[np.ndarray, ...]], **fields: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        if self.number is None:
            raise TargetError(
                tr("This session is closed."), fix=tr("open the model again: targets.get('web').open(path)")
            )
        for row in rows:
            check_inputs(self.inputs, row)
        told = [[{"dtype": array.dtype.name, "shape": list(array.shape)} for array in row] for row in rows]
        parts = [np.ascontiguousarray(array).tobytes() for row in rows for array in row]
        answer, made = self.page.ask(
            kind, parts, variant=self.variant, model=self.number, rows=told, **fields
        )
        self._heed([line for line in answer.get("console", []) if isinstance(line, str)], answer)
        return answer, made

    def _heed(self, lines: list[str], answer: dict[str, Any]) -> None:
        """Raise where answer or console tells of a failure: the runtime may have gone on with zeros."""
        found = log.failures(lines)
        self.complaints += tuple(line for line in found if line not in self.complaints)
        if answer["ok"] and not found:
            return
        why = "; ".join((*found[:3], *([] if answer["ok"] else [str(answer.get("error", ""))[:300]])))
        what = (
            tr("The browser ended the runtime on this model.")
            if answer.get("ended")
            else tr("The browser cannot run this model on {accelerator}.", accelerator=self.accelerator)
        )
        raise ModelError(what, why=why, fix=_fix(why, self.accelerator))

    def _check_tensors(self, answer: dict[str, Any]) -> None:
        for specs, kind in ((self.inputs, "inputs"), (self.outputs, "outputs")):
            told = answer.get(kind)
            have = (
                [(one.get("dtype"), tuple(one.get("shape", ()))) for one in told]
                if isinstance(told, list)
                else []
            )
            want = [(spec.dtype.name, spec.shape) for spec in specs]
            if have != want:
                why = tr("{have} in place of {want}", have=have, want=want)
                if any(-1 in shape for _, shape in have):
                    why = tr("the file leaves a size open, the browser wants all fixed: fix the batch at 1")
                raise ModelError(
                    tr("The browser sees other {kind} than the file tells.", kind=kind),
                    why=why,
                    fix=tr("convert the model again with a fixed input size and without a signature"),
                )

    def close(self) -> None:
        """Free the model in the page. A second call does nothing."""
        number, self.number = self.number, None
        if number is not None and self.page.is_alive:
            with contextlib.suppress(TargetError):
                self.page.ask("close", variant=self.variant, model=number, limit_s=10.0)

    def __repr__(self) -> str:
        return f"<web session: {self.accelerator}, {self.page.browser}, {self.placement}>"


def variant(page: Page, accelerator: str, threads: int) -> str:
    """The build of the runtime that this page can load for a model.

    Raises:
        InputError: threads on a page that may have none.
    """
    if threads > 1:
        if accelerator == "webgpu" or not page.found.get("isolated"):
            raise InputError(
                tr("This page runs one thread."),
                why=tr("several need wasm and a page isolated from other sites, which JupyterLab's is not"),
                fix=tr("leave threads out, or use a page of its own: where='headless'"),
            )
        return "threaded"
    return "jspi" if page.found.get("jspi") is True else "plain"


def _specs(described: graph.Graph, kind: str) -> tuple[TensorSpec, ...]:
    """What the file tells; refuses what LiteRT.js's tensors cannot hold.

    Raises:
        ModelError: an open size, or a type that no tensor there holds.
    """
    specs = []
    for index in getattr(described, kind):
        tensor = described.tensors[index]
        if tensor.is_dynamic:
            raise ModelError(
                tr("{name} takes any size.", name=tensor.name),
                why=tr("the browser's runtime wants fixed sizes"),
                fix=tr("convert it with a fixed input: keras.Input((height, width, 3), batch_size=1)"),
            )
        dtype = np.dtype(tensor.dtype)
        if dtype.name not in HELD:
            raise ModelError(
                tr("{name} is {dtype}.", name=tensor.name, dtype=dtype.name),
                why=tr("the browser's runtime hands over {held} only", held=", ".join(HELD)),
                fix=tr("cast inside the model, or take it out of the model's inputs and outputs"),
            )
        shape = tuple(max(1, int(size)) for size in tensor.shape)
        specs.append(TensorSpec(tensor.name, shape, dtype, tensor.scale, tensor.zero_point))
    return tuple(specs)


def _fix(why: str, accelerator: str) -> str:
    if "custom op" in why or "Flex" in why:
        return tr(
            "convert it without TensorFlow's own operators (Select TF ops): the browser has none of them"
        )
    if accelerator == "webgpu":
        return tr("try targets.get('web', accelerator='wasm'), or convert it as float32")
    return tr("run it on the CPU target; or change the operators that the console names (chapter 12)")
