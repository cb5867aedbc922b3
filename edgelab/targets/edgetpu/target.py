"""Google's Coral Edge TPU: placement from the file, Google's compiler where it is installed, and the device.

`placement` needs neither compiler nor device. `EdgeTpuTarget.compile` runs `edgetpu_compiler`; `open` runs
what it made, in a process of its own, since Google's library ends the process when the device is unplugged.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import environment, graph
from edgelab.errors import EdgelabError, InputError, ModelError, TargetError
from edgelab.machine import artifacts, child, hardware
from edgelab.runtime import Availability, Placement
from edgelab.targets.base import Compiled
from edgelab.targets.edgetpu.log import CompilerLog, parse
from edgelab.targets.edgetpu.rules import COMPILED_OPERATOR, EdgeTpuPlacement, is_compiled, placement
from edgelab.targets.edgetpu.session import OPEN_LIMIT_S, EdgeTpuSession
from edgelab.targets.edgetpu.worker import RUNTIMES
from edgelab.texts import tr

COMPILER = "edgetpu_compiler"
COMPILE_LIMIT_S = 300.0  # the compiler gives up by itself after 180 s
DEVICE_NAMES = re.compile(r"(usb|pci)?(:\d+)?")
COMPILER_FIX = tr(
    "on x86-64 Linux: install edgetpu-compiler from Google's apt source, with its key in "
    "/etc/apt/keyrings (chapter 5), or compile on a Colab page and open the file it makes"
)
LIBRARY_FIX = tr(
    "install libedgetpu: on Debian and Ubuntu libedgetpu1-std from Google's apt source, "
    "with its key in /etc/apt/keyrings (chapter 5); elsewhere a community build of "
    "google-coral/libedgetpu"
)
PLUG_FIX = tr(
    "plug the device directly into a USB 3 port and close other programs that use it; on "
    "Linux add yourself to the group plugdev, then plug it in again"
)
# What the compiler says when it gives up, what that means, and the fix.
COMPILER_ERRORS = (
    (
        "not quantized",
        ModelError,
        tr("The model is not quantized."),
        tr("convert it to int8 with calibration images (chapter 4)"),
    ),
    (
        "dynamic-sized",
        ModelError,
        tr("The model has shapes that are not fixed."),
        tr("fix the batch at 1 before converting"),
    ),
    (
        "Didn't find op",
        ModelError,
        tr("The model is too new for the compiler."),
        tr("replace that operator in the model, or convert with an older TensorFlow"),
    ),
    (
        "large activation tensors",
        ModelError,
        tr("The model's activations are too large for the Edge TPU."),
        tr("take a smaller input image"),
    ),
    (
        "Internal compiler error",
        TargetError,
        tr("The compiler broke on this model."),
        tr("compile parts of the model, to find the operator that breaks it"),
    ),
    ("could not be parsed", ModelError, tr("The compiler cannot read the model."), tr("convert it again")),
)


def pycoral_state() -> str:
    """What `import pycoral` would give: "pycoral" (Google's), "unrelated" (PyPI's of that name) or "missing".

    Nothing is imported: an unrelated program may do anything when it is.
    """
    try:
        spec = importlib.util.find_spec("pycoral")
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "missing"
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return "pycoral" if any((folder / "utils" / "edgetpu.py").exists() for folder in folders) else "unrelated"


class EdgeTpuTarget:
    """Coral Edge TPU, on USB or PCIe.

    Args:
        device: "" for any, else ":0", ":1"… by number, or "usb", "usb:0", "pci:1"….
        runtime: "litert", or "pycoral" where Google's own library is installed.
        library: file of the delegate; "" tries the names that it has on Linux, macOS and Windows.
    """

    name = "edgetpu"
    takes = "int8"
    suffix = ".tflite"

    def __init__(self, device: str = "", runtime: str = "litert", library: str = "") -> None:
        if not DEVICE_NAMES.fullmatch(device):
            raise InputError(
                tr("There is no Edge TPU {device!r}.", device=device),
                fix=tr('use "", ":0", "usb:0" or "pci:0"'),
            )
        if runtime not in RUNTIMES:
            raise InputError(
                tr("There is no runtime {runtime!r}.", runtime=runtime),
                fix=tr("choose from {runtimes}", runtimes=", ".join(RUNTIMES)),
            )
        self.device, self.runtime, self.library = device, runtime, library

    @property
    def settings(self) -> dict[str, Any]:
        """The compiler's version."""
        return {"compiler": hardware.output_of(COMPILER, "--version")}

    def probe(self) -> Availability:
        """Whether the compiler, the library and a device are here."""
        compiler = shutil.which(COMPILER)
        library, device = environment.edge_tpu_runtime(), environment.edge_tpu_device()
        can_run = library.status == device.status == environment.OK
        detail = [
            tr("{compiler} at {path}", compiler=COMPILER, path=compiler)
            if compiler
            else tr("no {compiler} on PATH", compiler=COMPILER),
            tr("library: {detail}", detail=library.detail),
            device.detail,
        ]
        if pycoral_state() == "unrelated":
            detail.append("the installed package pycoral is an unrelated program of that name")
        fixes = [] if compiler else [COMPILER_FIX]
        fixes += [finding.fix for finding in (library, device) if finding.status != environment.OK]
        return Availability(
            can_compile=bool(compiler),
            can_run=can_run,
            detail="; ".join(detail),
            why_it_matters=tr("without them the placement is known, and no latency is"),
            fix="; ".join(fixes),
        )

    def devices(self) -> tuple[dict[str, str], ...]:
        """Name ("usb:0") and path of each device that the library sees.

        Raises:
            TargetError: the library is missing or another one.
        """
        worker, folder = self.start_worker()
        with folder:
            try:
                return tuple(self.ask(worker, {"do": "devices"}, OPEN_LIMIT_S)["devices"])
            finally:
                worker.close()

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Run Google's compiler on an int8 model.

        Args:
            model: a `.tflite` file, fully quantized.
            out: the file to write.
            calibration: not used; the model is quantized already.

        Returns:
            The compiled model. Operators left on the CPU are read from the compiled file; the reason is that
            of the rules, or the compiler's status where the rules would have let them.

        Raises:
            TargetError: the compiler is missing, fails or hangs; tells the placement by the rules too.
            ModelError: it refuses the model.
            StorageError: `out` cannot be written.
        """
        expected = placement(model)
        tool = shutil.which(COMPILER)
        if tool is None:
            raise TargetError(
                tr("The Edge TPU compiler is not installed."),
                why=tr(
                    "{compiler} is not on PATH. By the published rules: {expected}",
                    compiler=COMPILER,
                    expected=expected,
                ),
                fix=COMPILER_FIX,
            )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "model.tflite").write_bytes(Path(model).read_bytes())
            started = time.perf_counter()
            done = child.run([tool, "-s", "model.tflite"], folder=folder, time_limit_s=COMPILE_LIMIT_S)
            duration_s = time.perf_counter() - started
            log_file = folder / "model_edgetpu.log"
            printed = f"{done.stdout}\n{done.stderr}"
            if log_file.exists():
                printed += log_file.read_text(encoding="utf-8", errors="replace")
            log, made = parse(printed), folder / "model_edgetpu.tflite"
            if done.returncode or not made.exists():
                raise _compiler_error(done, log, expected)
            content = made.read_bytes()
        placed = _placed(graph.read(model), _read_made(content), expected, log)
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        return Compiled(Path(out), self.name, log.rows(), placed, duration_s, len(content))

    def placement_of(self, model: Path | Compiled) -> Placement:
        """Where a compiled model's operators run; needs neither library nor device.

        Args:
            model: as for `open`.

        Raises:
            ModelError: it has not been compiled for the Edge TPU, or cannot be read.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        found = graph.read(path)
        if not is_compiled(found):
            raise ModelError(
                tr("{path} has not been compiled for the Edge TPU.", path=path.name),
                why=tr(
                    "it holds no {operator}, so every operator would run on the CPU",
                    operator=COMPILED_OPERATOR,
                ),
                fix=tr("compile it first: targets.get('edgetpu').compile(model, out)"),
            )
        if isinstance(model, Compiled):
            return model.placement
        others = [operator for operator in found.operators if operator.name != COMPILED_OPERATOR]
        reasons = tuple((f"{o.name} ({o.index})", "the compiler left it on the CPU") for o in others)
        return Placement(len(found.operators) - len(others), len(found.operators), reasons)

    def open(self, model: Path | Compiled) -> EdgeTpuSession:
        """Load a compiled model onto a device.

        Args:
            model: what `compile` gave, or a file that was compiled elsewhere. Of such a file it is not known
                how many operators the compiled one stands for: its placement counts it as one.

        Raises:
            ModelError: it has not been compiled for the Edge TPU, or cannot be read.
            TargetError: no library, no device, or the device is in use.
        """
        path, placed = Path(model.path if isinstance(model, Compiled) else model), self.placement_of(model)
        if self.runtime == "pycoral" and (state := pycoral_state()) != "pycoral":
            raise _no_pycoral(state)
        return EdgeTpuSession(path, self, placed)

    def start_worker(self) -> tuple[child.Worker, tempfile.TemporaryDirectory]:
        """A process that may die, and the folder it shares with this one."""
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [sys.executable, "-m", "edgelab.targets.edgetpu.worker"]
        try:
            # Where edgelab is not installed it lies in the project's folder.
            paths = {"PYTHONPATH": str(artifacts.PROJECT_ROOT)}
            worker = child.Worker(command, folder=Path(folder.name), name="The Edge TPU", environment=paths)
        except TargetError:
            folder.cleanup()
            raise
        return worker, folder

    def ask(self, worker: child.Worker, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
        """A worker's answer, its failures as errors.

        Raises:
            TargetError, ModelError: see `open`.
        """
        try:
            answer = worker.ask({"library": self.library, "device": self.device, **request}, time_limit_s)
        except TargetError as error:
            raise TargetError(
                tr("The Edge TPU is gone: its process ended in the middle of the work."),
                # Note: {what} and {why} are sentences of another error.
                why=tr(
                    "{what} {why}. It was unplugged, lacks power, or another program took it",
                    what=error.what,
                    why=error.why,
                ),
                fix=tr("{fix}; then open the model again", fix=PLUG_FIX),
            ) from error
        if "failure" in answer:
            raise explained(answer["failure"], answer["detail"].strip(), self.library)
        return answer


def _read_made(content: bytes) -> graph.Graph:
    try:
        return graph.read(content)
    except ModelError as error:
        raise TargetError(
            tr("{compiler} wrote a file that is no model.", compiler=COMPILER),
            why=error.why,
            fix=tr("install the compiler again, whole"),
        ) from error


def _placed(
    before: graph.Graph, after: graph.Graph, expected: EdgeTpuPlacement, log: CompilerLog
) -> Placement:
    """The placement that the compiled file shows: an operator whose output is still in it is on the CPU."""
    left = {after.tensors[i].name for operator in after.operators for i in operator.outputs}
    if is_compiled(after):
        compiled = [operator for operator in after.operators if operator.name == COMPILED_OPERATOR]
        left -= {after.tensors[i].name for operator in compiled for i in operator.outputs}
    reasons = []
    for operator, row in zip(before.operators, expected.operators, strict=True):
        if any(before.tensors[i].name in left for i in operator.outputs):
            reason = row.reason or log.status_of(operator.name) or "the compiler left it on the CPU"
            reasons.append((f"{operator.name} ({operator.index})", reason))
    return Placement(len(before.operators) - len(reasons), len(before.operators), tuple(reasons))


def _compiler_error(done: child.Finished, log: CompilerLog, expected: EdgeTpuPlacement) -> EdgelabError:
    said = "; ".join(log.errors) or child.last_lines(f"{done.stdout}\n{done.stderr}") or tr("it said nothing")
    why = (
        # Note: {refusal} is why the compiler refuses the file, {said} what it printed.
        tr("{refusal}. It said: {said}", refusal=expected.refusal, said=said)
        if expected.refusal
        else tr("the compiler said: {said}", said=said)
    )
    for words, kind, what, fix in COMPILER_ERRORS:
        if words in said:
            return kind(what, why=why, fix=fix)
    return TargetError(
        tr("{compiler} failed (exit code {returncode}).", compiler=COMPILER, returncode=done.returncode),
        why=tr("{why}. By the published rules: {expected}", why=why, expected=expected),
        fix=tr("try another model, to see whether it works at all; then install it again, whole"),
    )


def _no_pycoral(state: str) -> TargetError:
    if state == "unrelated":
        why = tr("the package of that name on PyPI is an unrelated program")
        fix = tr('pip uninstall pycoral, and use runtime="litert", which needs no PyCoral')
    else:
        why = tr("Google's wheels stop at Python 3.9 and are not on PyPI")
        fix = tr('use runtime="litert", which needs no PyCoral')
    return TargetError(tr("Google's PyCoral is not installed."), why=why, fix=fix)


def explained(kind: str, detail: str, library: str) -> EdgelabError:
    """A worker's failure as an error that tells what to do.

    Args:
        kind, detail: as `worker.Failure` has them.
        library: that was asked for; "" for whatever this system has.
    """
    if kind == "missing":
        return TargetError(tr("The Edge TPU's library cannot be loaded."), why=detail, fix=LIBRARY_FIX)
    if kind == "wrong":
        name = library or tr("The library of that name")
        return TargetError(
            tr("{name} is not the Edge TPU's library.", name=name), why=detail, fix=LIBRARY_FIX
        )
    if kind == "refused":
        why = tr("none is plugged in, another program holds it, or this user may not open it")
        return TargetError(tr("No Edge TPU can be opened."), why=f"{why}. {detail}", fix=PLUG_FIX)
    if kind == "pycoral":
        return _no_pycoral("missing")
    if kind == "run":
        return TargetError(
            tr("The Edge TPU failed in an inference."),
            why=detail,
            fix=tr("{fix}; open the model again", fix=PLUG_FIX),
        )
    return ModelError(
        tr("The compiled model cannot be loaded."),
        why=detail,
        fix=tr("compile it again; a runtime older than the compiler may refuse it too: update libedgetpu"),
    )
