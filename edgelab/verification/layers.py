"""Where in a quantized model the error arises, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgelab import graph
from edgelab.errors import InputError
from edgelab.runtime import predict
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd

    from edgelab.targets.cpu.session import CpuSession
from edgelab.verification.output_error import snr_db


def per_layer_error(float_path: Path, quantized_path: Path, images: np.ndarray) -> pd.DataFrame:
    """Where a converted model departs from its float original: the error of each layer's output.

    Both models run with every intermediate result kept; results of the same name are compared after
    dequantizing. Each layer's error includes what it inherits from the layers before it.

    Args:
        float_path: the `.tflite` file in float32.
        quantized_path: the same model, quantized.
        images: uint8 `[N, H, W, 3]`; a few suffice.

    Returns:
        One row per matched layer in order of execution: layer, operator, shape, dtype, scale, zero_point,
        snr_db, cosine, max_error, low, high (range of the float values).

    Raises:
        ModelError: a file that cannot be read or run.
        InputError: no images, wrong images, or models with no layer in common.
    """
    import pandas as pd

    graphs, pairs = _matched(float_path, quantized_path, images)
    sums = [_Sums() for _ in pairs]
    for reference, candidate in _runs(float_path, quantized_path, images):
        for (_, float_index, quantized_index), total in zip(pairs, sums, strict=True):
            total.add(reference.tensor(float_index), candidate.tensor(quantized_index))
    names = _names(graphs[1], pairs)
    rows = []
    for (operator, _, index), total in zip(pairs, sums, strict=True):
        tensor = graphs[1].tensors[index]
        rows.append(
            {
                "layer": names.get(index, "output"),
                "operator": operator,
                "shape": tensor.shape,
                "dtype": tensor.dtype,
                "scale": tensor.scale,
                "zero_point": tensor.zero_point,
                "snr_db": snr_db(total.signal, total.noise),
                "cosine": total.cosine,
                "max_error": total.max_error,
                "low": total.low,
                "high": total.high,
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class LayerOutput:
    """What one layer gives in two runs, of the float model and of the quantized one.

    Attributes:
        layer, operator: its name, and its kind.
        real: float32 `[images, …]`, of the float model.
        codes: integers of the same shape, of the quantized model.
        scale, zero_point: what the codes mean: real = scale * (code - zero_point).
        inputs: positions of the layers that it reads in the list of all; none for the model's input.
    """

    layer: str
    operator: str
    real: np.ndarray
    codes: np.ndarray
    scale: float
    zero_point: int
    inputs: tuple[int, ...]


def layer_outputs(float_path: Path, quantized_path: Path, images: np.ndarray) -> list[LayerOutput]:
    """Every layer's results in both models, side by side; `per_layer_error` needs less memory.

    Args:
        float_path: the `.tflite` file in float32.
        quantized_path: the same model, quantized.
        images: uint8 `[N, H, W, 3]`; a few suffice.

    Returns:
        The layers that have integers of one scale, in order of execution.

    Raises:
        ModelError, InputError: as for `per_layer_error`.
    """
    graphs, pairs = _matched(float_path, quantized_path, images)
    pairs = [pair for pair in pairs if len(graphs[1].tensors[pair[2]].scales) == 1]
    found: list[tuple[list, list]] = [([], []) for _ in pairs]
    for reference, candidate in _runs(float_path, quantized_path, images):
        for (_, float_index, quantized_index), (reals, codes) in zip(pairs, found, strict=True):
            reals.append(reference.tensor(float_index))
            codes.append(candidate.stored(quantized_index))
    names, sources = _names(graphs[1], pairs), _sources(graphs[1], [index for _, _, index in pairs])
    return [
        LayerOutput(
            layer=names.get(index, "output"),
            operator=operator,
            real=np.concatenate(reals),
            codes=np.concatenate(codes),
            scale=graphs[1].tensors[index].scale,
            zero_point=graphs[1].tensors[index].zero_point,
            inputs=sources[index],
        )
        for (operator, _, index), (reals, codes) in zip(pairs, found, strict=True)
    ]


def _sources(found: graph.Graph, layers: list[int]) -> dict[int, tuple[int, ...]]:
    """Of each of these tensors: the positions of those it is computed from, whatever comes between."""
    positions = {index: position for position, index in enumerate(layers)}
    visible: dict[int, set[int]] = {}
    sources = {}
    for operator in found.operators:
        read = set().union(*(visible.get(index, set()) for index in operator.inputs))
        for index in operator.outputs:
            visible[index] = {positions[index]} if index in positions else read
            if index in positions:
                sources[index] = tuple(sorted(read))
    return sources


def _matched(
    float_path: Path, quantized_path: Path, images: np.ndarray
) -> tuple[list[graph.Graph], list[tuple[str, int, int]]]:
    graphs = [graph.read(path) for path in (float_path, quantized_path)]
    pairs = _matching_layers(*graphs)
    if not pairs:
        raise InputError(
            tr("The two models have no layer in common."),
            why=tr("layers are matched by name"),
            fix=tr("convert both from the same Keras model"),
        )
    if len(images) == 0:
        raise InputError(
            tr("There are no images to compare on."), fix=tr("pass a few of the dataset's images")
        )
    return graphs, pairs


def _runs(
    float_path: Path, quantized_path: Path, images: np.ndarray
) -> Iterator[tuple[CpuSession, CpuSession]]:
    """Both models, after each image, with everything that they have computed."""
    from edgelab.targets.cpu.target import CpuTarget

    # LiteRT's own kernels: XNNPACK computes many operators in one step and keeps nothing in between.
    target = CpuTarget(kernels="builtin")
    with (
        target.open(float_path, keep_tensors=True) as reference,
        target.open(quantized_path, keep_tensors=True) as candidate,
    ):
        for image in images:
            for session in (reference, candidate):
                predict(session, image[np.newaxis])
            yield reference, candidate


def _names(found: graph.Graph, pairs: list[tuple[str, int, int]]) -> dict[int, str]:
    """Names of layers by tensor, but for the output's: the converter names it after a function of its own."""
    outputs = set(found.outputs)
    inner = {index: found.tensors[index].name for _, _, index in pairs if index not in outputs}
    return dict(zip(inner, _layer_names(list(inner.values())), strict=True))


class _Sums:
    """Running sums of one layer over many images, so that no intermediate result need be kept."""

    def __init__(self) -> None:
        self.signal = self.noise = self.energy = self.product = self.max_error = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
        difference = reference - candidate
        self.signal += float(np.sum(reference**2))
        self.energy += float(np.sum(candidate**2))
        self.noise += float(np.sum(difference**2))
        self.product += float(np.sum(reference * candidate))
        self.max_error = max(self.max_error, float(np.abs(difference).max(initial=0)))
        self.low, self.high = min(self.low, float(reference.min())), max(self.high, float(reference.max()))

    @property
    def cosine(self) -> float:
        norms = math.sqrt(self.signal * self.energy)
        return self.product / norms if norms else math.nan


def _matching_layers(reference: graph.Graph, candidate: graph.Graph) -> list[tuple[str, int, int]]:
    """Operator name and the two tensor indices of each result that both graphs compute, in order."""
    names = [(reference.tensors[index].name, index) for node in reference.operators for index in node.outputs]
    by_name = {_key(name): index for name, index in names}
    # The model's outputs are matched by position: a conversion with another output type renames them.
    same = dict(zip(candidate.outputs, reference.outputs, strict=False))
    pairs = []
    for operator in candidate.operators:
        for index in operator.outputs:
            match = same.get(index, by_name.get(_key(candidate.tensors[index].name)))
            if match is not None and reference.tensors[match].shape == candidate.tensors[index].shape:
                pairs.append((operator.name, match, index))
    return pairs


def _key(name: str) -> str:
    """A tensor's name without the outermost model's, which the converter numbers anew at each conversion."""
    return ";".join(part.partition("/")[2] or part for part in name.split(";"))


def _layer_names(tensor_names: list[str]) -> list[str]:
    """The Keras layers in tensors' names: `net/block_add/Add;net/...` is `block_add`.

    A model called a second time, as the converter does, gets `_1` after every layer's name; it is dropped.
    """
    paths = [name.split(";")[0].replace("/batchnorm/", "/").split("/") for name in tensor_names]
    names = [path[-2] if len(path) > 1 else path[0] for path in paths]
    called_again = all(name.endswith("_1") for name in names)
    return [name.removesuffix("_1") for name in names] if called_again else names
