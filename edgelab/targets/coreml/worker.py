"""Apple's coremltools in a process of its own: `python -m edgelab.targets.coreml.worker`.

It loads native libraries, TensorFlow beside them, and prints what it likes. It answers as `child.Worker`
asks: a line of JSON in, a marked one out. It converts wherever coremltools is; it predicts on a Mac.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edgelab.errors import EdgelabError, ModelError, TargetError
from edgelab.machine import quiet
from edgelab.machine.child import ANSWER_MARK, no_core_dumps
from edgelab.quantization import tracing
from edgelab.texts import tr

INPUT = "image"  # as the app of chapter 15 calls it
DEPLOYMENT = "iOS17"
# Weights of fewer values stay as they are: a scale or a palette beside them would cost more than it saves.
SMALLEST_COMPRESSED = 512
BITS = {"6-bit palette": 6, "4-bit palette": 4, "2-bit palette": 2}


class Tools:
    """coremltools, and one model loaded in Apple's runtime."""

    def __init__(self) -> None:
        self.model: Any = None
        self.inputs: dict[str, np.ndarray] = {}

    def convert(self, model: str, out: str, precision: str) -> dict[str, Any]:
        """Write the package of a Keras file or a SavedModel's folder.

        Raises:
            ModelError: it cannot be loaded, or holds what coremltools does not convert.
        """
        quiet.import_tensorflow()
        function = _named(_loaded(Path(model)))
        import coremltools as ct

        [spec] = function.inputs
        # By itself it would take and give float16, which apps have no type for.
        wanted = {
            "inputs": [ct.TensorType(name=INPUT, shape=tuple(spec.shape), dtype=np.float32)],
            "outputs": [ct.TensorType(dtype=np.float32) for _ in function.outputs],
            "minimum_deployment_target": ct.target[DEPLOYMENT],
        }
        try:
            made = ct.convert(
                [function], source="tensorflow", convert_to="mlprogram", skip_model_load=True, **wanted
            )
        except OSError:
            raise
        # The converter alone is asked here; it raises many kinds: ValueError, NotImplementedError, its own.
        except Exception as error:
            raise ModelError(
                tr("coremltools cannot convert {model}.", model=Path(model).name),
                why=tracing.first_line(error),
                fix=tr("replace the layer that it names; chapter 12 shows layers that most converters take"),
            ) from error
        _compressed(made, precision).save(out)
        return {}

    def load(self, package: str) -> dict[str, Any]:
        """Load a package in Apple's runtime, which chooses among CPU, GPU and Neural Engine.

        Raises:
            TargetError: this is no Mac, or Core ML refuses the package.
        """
        import coremltools as ct

        try:
            self.model = ct.models.MLModel(package, compute_units=ct.ComputeUnit.ALL)
        except Exception as error:  # of many kinds, from Apple's framework below it too
            raise _refused(error) from error
        return {}

    def run(self, inputs: dict[str, str], outputs: dict[str, str]) -> dict[str, Any]:
        """One inference: arrays from `.npy` files by the names of inputs, to others by those of outputs."""
        self.inputs = {name: np.load(path) for name, path in inputs.items()}
        found = self._predicted()
        for name, path in outputs.items():
            np.save(path, found[name])
        return {}

    def time_runs(self, inputs: dict[str, str], count: int) -> dict[str, Any]:
        """Milliseconds of each of `count` inferences, by the clock beside the runtime."""
        self.inputs = {name: np.load(path) for name, path in inputs.items()}
        times = []
        for _ in range(count):
            started = time.perf_counter_ns()
            self._predicted()
            times.append((time.perf_counter_ns() - started) / 1e6)
        return {"times_ms": times}

    def _predicted(self) -> dict[str, np.ndarray]:
        try:
            return self.model.predict(self.inputs)
        except Exception as error:  # as in `load`
            raise _refused(error) from error


def _refused(error: Exception) -> TargetError:
    return TargetError(
        tr("Core ML does not run the package."),
        why=tracing.first_line(error),
        fix=tr("on a computer that is no Mac: where='simulator'; on a Mac, make the package again"),
    )


def _loaded(path: Path) -> Any:
    return tracing.load_saved_model(path) if path.is_dir() else tracing.load_keras(path)


def _named(function: Any) -> Any:
    """The same function with its input called as apps call it."""
    import tensorflow as tf

    [spec] = function.inputs
    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=INPUT)]
    outer = tf.function(lambda image: function(image), input_signature=signature, autograph=False)
    return tracing.frozen(outer.get_concrete_function())


def _compressed(model: Any, precision: str) -> Any:
    """The model with its weights in 8 bits, or as numbers of a palette; as it is for float16."""
    import coremltools.optimize.coreml as cto

    small = {"weight_threshold": SMALLEST_COMPRESSED}
    if precision == "int8 weights":
        config = cto.OpLinearQuantizerConfig(mode="linear_symmetric", **small)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=config))
    if precision in BITS:
        config = cto.OpPalettizerConfig(nbits=BITS[precision], mode="kmeans", **small)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=config))
    return model


def answer_to(tools: Tools, question: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question, or the error that it raised as JSON."""
    try:
        return getattr(tools, question.pop("do"))(**question)
    except EdgelabError as error:
        parts = {"what": error.what, "why": error.why, "fix": error.fix}
        return {"error": parts | {"is_model": isinstance(error, ModelError)}}
    except ImportError as error:
        return {"missing": str(error)}
    except OSError as error:
        return {"errno": error.errno, "strerror": error.strerror or str(error)}


def main(answers: TextIO) -> None:
    """Answer until the questions end."""
    no_core_dumps()
    tools = Tools()
    for line in sys.stdin:
        answers.write(ANSWER_MARK + json.dumps(answer_to(tools, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    # What coremltools and TensorFlow print goes where errors go, so that only answers stand on the output.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    main(answers)
