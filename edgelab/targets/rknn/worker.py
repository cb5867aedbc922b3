"""Talks to Rockchip's software, in a process and a Python of its own: `python -I worker.py`.

Without -I the modules beside it would be taken for packages. It answers as `child.Worker` asks: a line of
JSON in, one out. It knows nothing of edgelab, whose packages clash with Rockchip's, and needs only that
toolkit, or on a board `rknnlite`. All that the toolkit prints goes to `log.txt` in the folder in which it is
started, where the toolkit drops its files, too.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
import traceback
import types
from pathlib import Path

ANSWER_MARK = "answer "
LOG = "log.txt"
CHECK_MODULES = ("numpy", "onnx", "onnxruntime", "cv2", "scipy", "google.protobuf", "rknn.api")


class _Placeholder(types.ModuleType):
    """Stands where torch is imported and its names are looked up, and refuses to do anything."""

    __path__ = ()
    __version__ = "2.0.0"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        # A class where one may be inherited from or asked for by isinstance, else a module again.
        part = type(name, (), {"__init__": _refuse}) if name[0].isupper() else _Placeholder(self._path(name))
        setattr(self, name, part)
        return part

    def _path(self, name):
        return f"{self.__name__}.{name}"

    def __call__(self, *arguments, **options):
        if self.__name__.endswith(("no_grad", "inference_mode")):  # decorators, applied while importing
            return lambda function: function
        _refuse(self)


def _refuse(self, *arguments, **options):
    name = getattr(self, "__name__", type(self).__name__)
    raise RuntimeError(f"{name} was called, but torch is not installed here: only ONNX models need none")


class _TorchFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the placeholder for torch and all its parts."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Placeholder(spec.name)

    def exec_module(self, module):
        pass


def stand_in_for_torch():
    """Let `import torch` succeed where it is not installed: the toolkit needs it for PyTorch models only."""
    if importlib.util.find_spec("torch") is None:
        sys.meta_path.insert(0, _TorchFinder())


class StepError(Exception):
    """A step of the toolkit gave an error code; its log says more."""


def _step(name, code):
    if code != 0:
        raise StepError(f"{name} failed (code {code})")


class Toolkit:
    """One model in Rockchip's software: compiled here, simulated, or run on a board."""

    def __init__(self):
        self.rknn = None
        self.inputs = []

    def build(self, onnx, platform, calibration=None, mean=None, std=None, description=""):
        """Compile. `calibration`: .npy `[N, C, H, W]`, or None to compute in float16."""
        import numpy as np

        stand_in_for_torch()
        from rknn.api import RKNN

        self.rknn = RKNN(verbose=True)
        options = {"custom_string": description} if description else {}
        if mean is not None:
            options["mean_values"], options["std_values"] = [mean], [std]
        _step("config", self.rknn.config(target_platform=platform, **options) or 0)
        _step("load_onnx", self.rknn.load_onnx(model=onnx))
        listing = None
        if calibration is not None:
            listing = self._listing(np.load(calibration))
        started = time.perf_counter()
        _step("build", self.rknn.build(do_quantization=listing is not None, dataset=listing))
        return {"build_s": time.perf_counter() - started}

    def _listing(self, images):
        """The toolkit takes a text file that names one .npy file per image."""
        import numpy as np

        paths = []
        for index, image in enumerate(images):
            paths.append(str(Path(f"calibration-{index}.npy").resolve()))
            np.save(paths[-1], image[np.newaxis])
        Path("calibration.txt").write_text("\n".join(paths) + "\n")
        return "calibration.txt"

    def export(self, path):
        """Write the .rknn file."""
        _step("export_rknn", self.rknn.export_rknn(path))
        return {}

    def load(self, path, runtime):
        """A .rknn file for a board; `runtime`: "lite" on the board itself, "adb" from a PC."""
        if runtime == "lite":
            from rknnlite.api import RKNNLite

            self.rknn = RKNNLite()
        else:
            stand_in_for_torch()
            from rknn.api import RKNN

            self.rknn = RKNN()
        _step("load_rknn", self.rknn.load_rknn(path))
        return {}

    def start(self, inputs, platform=None, device=None, core_mask=None):
        """Make ready to run: in the simulator, or on a board when a core or a platform is named.

        `inputs`: .npy files that we share with who asks; each question `run` finds its images in them.
        """
        import numpy as np

        options = {"target": platform, "device_id": device, "core_mask": core_mask}
        given = {name: value for name, value in options.items() if value is not None}
        _step("init_runtime", self.rknn.init_runtime(**given))
        self.inputs = [np.load(path, mmap_mode="r") for path in inputs]
        return {}

    def run(self, out):
        """One inference; the outputs go to `out` + their number + .npy."""
        import numpy as np

        formats = ["nchw"] * len(self.inputs)
        outputs = self.rknn.inference(inputs=[np.array(one) for one in self.inputs], data_format=formats)
        if outputs is None:
            raise StepError("inference gave nothing")
        for index, output in enumerate(outputs):
            np.save(f"{out}{index}.npy", output)
        return {"outputs": [[list(output.shape), str(output.dtype)] for output in outputs]}

    def time_runs(self, count):
        """Milliseconds of each of `count` inferences of the images given last."""
        import numpy as np

        formats, images = ["nchw"] * len(self.inputs), [np.array(one) for one in self.inputs]
        times = []
        for _ in range(count):
            started = time.perf_counter_ns()
            outputs = self.rknn.inference(inputs=images, data_format=formats)
            times.append((time.perf_counter_ns() - started) / 1e6)
            if outputs is None:
                raise StepError("inference gave nothing")
        return {"times_ms": times}

    def analyse(self, inputs):
        """Error of each layer, against float: of one input, by the toolkit's own analysis."""
        _step("accuracy_analysis", self.rknn.accuracy_analysis(inputs=inputs, output_dir="analysis"))
        return {"text": Path("analysis", "error_analysis.txt").read_text(encoding="utf-8")}


def serve(answers):
    """Answer until the questions end."""
    toolkit = Toolkit()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(toolkit, question.pop("do"))(**question)
        except BaseException as error:  # the toolkit raises whatever its parts raise, and calls exit()
            answer = {"failure": type(error).__name__, "detail": str(error)}
            answer["errno"] = getattr(error, "errno", None)
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)  # C code keeps lines back when it writes to a file
        print(ANSWER_MARK + json.dumps(answer), file=answers, flush=True)


def main():
    """`--check` imports all that is needed and ends; otherwise questions come from stdin."""
    if "--check" in sys.argv:
        stand_in_for_torch()
        for name in CHECK_MODULES:
            importlib.import_module(name)
        return
    answers = os.fdopen(os.dup(1), "w")
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    serve(answers)


if __name__ == "__main__":
    main()
