"""A `.tflite` file quantized as a file, by Google's AI Edge Quantizer, where that package is installed.

It quantizes weights alone, which TensorFlow's converter does not, and to four bits as well as to eight.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
from pathlib import Path

from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts
from edgelab.texts import tr

PACKAGE = "ai_edge_quantizer"
# By what is quantized: the package's recipe. "dynamic" computes with 8-bit activations, found as they come.
RECIPES = {
    "weights int8": "weight_only_wi8_afp32",
    "weights int4": "weight_only_wi4_afp32",
    "weights int4, dynamic": "dynamic_wi4_afp32",
}


def version() -> str | None:
    """The package's version; None where it is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    return importlib.metadata.version(PACKAGE)


def how_to_install() -> str:
    """The command that brings the package, without what it needs for language models."""
    return tr("pip install --no-deps ai-edge-quantizer immutabledict")


def quantized(path: Path, kind: str) -> Path:
    """The file with its weights quantized; made once, then reused. Its activations stay float32.

    Args:
        path: a float32 `.tflite` file.
        kind: one of `RECIPES`.

    Raises:
        InputError: an unknown `kind`.
        TargetError: the package is not installed.
        ModelError: it cannot quantize this model.
    """
    if kind not in RECIPES:
        raise InputError(
            tr("No recipe is called {kind!r}.", kind=kind),
            fix=tr("use one of {known}", known=", ".join(RECIPES)),
        )
    if (found := version()) is None:
        raise TargetError(
            tr("The AI Edge Quantizer is not installed."),
            why=tr("it is optional: the course quantizes by TensorFlow's converter"),
            fix=how_to_install(),
        )

    def build(out: Path) -> None:
        from ai_edge_quantizer import quantizer, recipe

        try:
            job = quantizer.Quantizer(str(path))
            job.load_quantization_recipe(getattr(recipe, RECIPES[kind])())
            with contextlib.redirect_stderr(io.StringIO()):  # a bar of its own, which no option turns off
                made = job.quantize(enable_progress_bar=False, enable_progress_report=False)
        except Exception as error:  # it raises many kinds: ValueError, RuntimeError, KeyError…
            raise ModelError(
                tr("{name} could not be quantized to {kind}.", name=path.name, kind=kind),
                why=str(error).splitlines()[0] if str(error) else type(error).__name__,
                fix=tr("give it a float32 file; an operator that it does not know must be replaced"),
            ) from error
        made.export_model(str(out), overwrite=True)

    parts = {"model": path, "recipe": RECIPES[kind], "version": found}
    return artifacts.cached(
        "models", f"{path.stem[:40]}-{kind.replace(', ', '-').replace(' ', '-')}", ".tflite", parts, build
    )
