"""A `.tflite` model as ONNX: the common language of TensorRT, ONNX Runtime and Rockchip's compiler."""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path

from edgelab import artifacts, graph, quantization, quiet
from edgelab.errors import ModelError

OPSET = 17  # the newest that all three read


def from_tflite(model: Path, *, channels_first: bool = False) -> Path:
    """Convert a `.tflite` file to ONNX; a second call reuses the file.

    The converter folded BatchNorm into the convolutions already, so the ONNX graph has none.

    Args:
        model: float32 for a model that is to be quantized anew. An int8 one becomes QuantizeLinear and
            DequantizeLinear pairs with its own zero points.
        channels_first: take the image inputs as `[N, C, H, W]`, which Rockchip's compiler wants, in place of
            `[N, H, W, C]`. The numbers stay raw pixels, 0 to 255.

    Returns:
        The `.onnx` file, in the cache.

    Raises:
        ModelError: the file cannot be read, or holds an operator that ONNX lacks.
        TargetError: tf2onnx is not installed.
        StorageError: the disk is full.
    """
    found = graph.read(model)
    images = [found.tensors[i].name for i in found.inputs if len(found.tensors[i].shape) == 4]
    parts = {
        "model": Path(model),
        "channels_first": channels_first,
        "opset": OPSET,
        "tf2onnx": metadata.version("tf2onnx"),
    }

    def build(path: Path) -> None:
        quiet.import_tensorflow()
        with quantization.silence(), tempfile.TemporaryDirectory() as folder:
            import tf2onnx.convert

            try:
                tf2onnx.convert.from_tflite(
                    str(model),
                    opset=OPSET,
                    inputs_as_nchw=images if channels_first else None,
                    output_path=str(Path(folder) / "model.onnx"),
                )
            except Exception as error:  # tf2onnx raises whatever its many passes raise
                raise _not_convertible(Path(model), error) from error
            path.write_bytes((Path(folder) / "model.onnx").read_bytes())

    name = Path(model).stem + ("-nchw" if channels_first else "")
    return artifacts.cached("onnx", name, ".onnx", parts, build)


def _not_convertible(model: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{model.name} could not be converted to ONNX.",
        why=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
        fix="look for custom operators or dynamic shapes with edgelab.graph, and convert it without them",
    )
