"""The browser in front of the student: WebGPU, any maker's, and WebAssembly with XNNPACK.

What makes its numbers easy to get wrong is met here. Operators that the runtime cannot prepare give rubbish
without an error: the console is read. Quantized models on WebGPU can be wrong without a word: each model is
compared with the CPU when it is opened, and one that differs carries a `fault`, which keeps it untimed. A GPU
that the processor plays is a simulation. And the page's clock is coarse: fast models are timed in batches.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph
from edgelab.errors import InputError, TargetError
from edgelab.machine import artifacts, browsers
from edgelab.runtime import Availability
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.web import engine, files, trial
from edgelab.targets.web.session import WebSession
from edgelab.texts import tr

ACCELERATORS = ("webgpu", "wasm")
PRECISIONS = ("float32", "float16")
WHY_IT_MATTERS = tr("a browser reaches the GPU of nearly every laptop and phone, with nothing installed")


class WebTarget:
    """LiteRT.js in a browser.

    Args:
        accelerator: "webgpu", the GPU, for float models; or "wasm", the processor, for float and int8.
        where: the page: see `engine.remembered`.
        precision: "float32", or "float16" to let the GPU compute with 16 bits.
        threads: of wasm, where the page may have several.
        software: of WebGPU: see `engine.remembered`.
        page: one that is open already, in place of `where`.
    """

    name = "web"
    suffix = ".tflite"

    def __init__(
        self,
        accelerator: str = "webgpu",
        where: str = "auto",
        *,
        precision: str = "float32",
        threads: int = 1,
        software: bool | None = None,
        page: engine.Page | None = None,
    ) -> None:
        if accelerator not in ACCELERATORS:
            raise InputError(
                tr("There is no accelerator {accelerator!r} in a browser.", accelerator=accelerator),
                fix=tr("choose from {names}", names=", ".join(ACCELERATORS)),
            )
        if precision not in PRECISIONS or (precision == "float16" and accelerator == "wasm"):
            raise InputError(
                tr(
                    "There is no precision {precision!r} on {accelerator}.",
                    precision=precision,
                    accelerator=accelerator,
                ),
                fix=tr("choose float32; on webgpu, float16 as well"),
            )
        if threads < 1:
            raise InputError(
                tr("threads must be at least 1, got {threads}.", threads=threads),
                fix=tr("leave it out for one"),
            )
        if where not in engine.PLACES:
            raise InputError(
                tr("There is no place {place!r}.", place=where),
                fix=tr("choose from {names}", names=", ".join(engine.PLACES)),
            )
        self.accelerator, self.where, self.precision = accelerator, where, precision
        self.threads, self.software, self._given = threads, software, page

    @property
    def takes(self) -> str:
        """The conversion that `compile` starts from."""
        return "float32" if self.accelerator == "webgpu" else "int8"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides results besides the model."""
        return {
            "accelerator": self.accelerator, "precision": self.precision, "threads": self.threads,
            "runtime": f"LiteRT.js {files.VERSION}",
        }  # fmt: skip

    def page(self) -> engine.Page:
        """The page that this target uses, opened when it is asked for first.

        Raises:
            TargetError: there is none, or it has no adapter; says why, and what to do.
        """
        page = self._given or engine.remembered(
            self.where, gpu=self.accelerator == "webgpu", software=self.software
        )
        self._check(page)
        return page

    def _check(self, page: engine.Page) -> None:
        """Raise where the page has not the GPU that is asked for."""
        if self.accelerator == "wasm":
            return
        if not page.adapter:
            raise TargetError(
                tr("{browser} offers no GPU to pages.", browser=page.browser),
                why=tr(
                    "the page is no secure context: its address begins with http:// and is not this "
                    "computer's"
                )
                if page.found.get("secure") is False
                else tr(
                    "WebGPU is switched off, the driver is on the browser's blocklist, or there is no GPU"
                ),
                fix=tr(
                    "open chrome://gpu and look for WebGPU; switch on hardware acceleration in the browser's "
                    "settings; on a hub use https; without a GPU: accelerator='wasm'"
                ),
            )
        if self.software is False and page.is_software:
            raise TargetError(
                tr("The only adapter here is {adapter}, which the processor plays.", adapter=page.adapter),
                fix=tr("use accelerator='wasm', or a computer with a GPU"),
            )

    def probe(self) -> Availability:
        """What is here, without starting a browser: which GPU one has, it tells when a model is opened."""
        page = self._given or engine.open_already(self.where, software=self.software)
        if page is None:
            return self._promise()
        try:
            self._check(page)
        except TargetError as error:
            return Availability(True, False, f"{error.what} {error.why}".strip(), WHY_IT_MATTERS, error.fix)
        if self.accelerator == "wasm":
            return Availability(True, True, tr("{browser}, WebAssembly", browser=page.browser))
        detail = tr("{adapter}, by {browser}", adapter=page.adapter, browser=page.browser)
        return Availability(True, True, detail, is_simulated=page.is_software)

    def _promise(self) -> Availability:
        """As `probe`, where no page is open yet."""
        reason, fix = engine.readiness(self.where)
        if reason:
            return Availability(False, False, reason, WHY_IT_MATTERS, fix)
        if self.where == "tab":
            return Availability(True, True, tr("a tab will be opened, in the browser that you choose"))
        name = browsers.name_of(browsers.find())
        if self.accelerator == "wasm":
            return Availability(True, True, tr("{browser} is installed", browser=name))
        detail = tr("{browser} is installed; its GPU is asked when a model is opened", browser=name)
        return Availability(True, True, detail, is_simulated=bool(self.software))

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Try the model in the browser, then copy it: each page compiles it anew.

        Raises:
            ModelError: not a readable model, or one that the browser refuses.
            TargetError: no page.
            StorageError: `out` cannot be written.
        """
        with self.open(Path(model)) as session:
            rows = tuple({"message": line} for line in session.console)
            placement, duration_s = session.placement, session.compile_ms / 1e3
        content = Path(model).read_bytes()
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        return Compiled(Path(out), self.name, rows, placement, duration_s, len(content))

    def open(self, model: Path | Compiled) -> WebSession:
        """Load a model, and compare its results with the CPU's; where they differ the session has a `fault`.

        Raises:
            ModelError: missing, corrupt, or one that the CPU or the browser refuses, if only
                in its console.
            TargetError: no page.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        with CpuTarget(threads=1).open(path) as reference:
            content = path.read_bytes()
            session = WebSession(
                content,
                self.page(),
                accelerator=self.accelerator,
                threads=self.threads,
                precision=self.precision,
            )
            try:
                tolerance = trial.tolerance_for(graph.read(content), self.precision)
                session.fault = trial.compare(session, reference, tolerance=tolerance).fault
            except BaseException:
                session.close()
                raise
        return session
