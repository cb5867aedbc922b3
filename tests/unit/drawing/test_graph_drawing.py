"""Drawn graphs: every edge is there, letters stay in their boxes, and places are told without colour."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, Rectangle

from edgelab import graph, models, quantization
from edgelab.drawing import graph_drawing
from edgelab.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    import keras

    keras.utils.set_random_seed(0)
    return models.accelerator_cnn(squeeze_excite=True)


@pytest.fixture(scope="module")
def found(network, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELAB_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
        path = quantization.convert(network, "int8", images, io_dtype="uint8").path
        return graph.read(path)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def titles(fig):
    return [text.get_text() for text in fig.axes[0].texts if text.get_text()]


def arrow_count(fig):
    arrows = [text for text in fig.axes[0].texts if getattr(text, "arrow_patch", None) is not None]
    assert all(isinstance(arrow.arrow_patch, FancyArrowPatch) for arrow in arrows)
    return len(arrows)


def edge_count(found, operators):
    """Reads of what another operator writes, or of the model's input."""
    written = {index for operator in found.operators for index in operator.outputs} | set(found.inputs)
    return sum(index in written for operator in operators for index in operator.inputs)


def test_every_operator_and_every_edge_is_drawn(found):
    fig, alt = graph_drawing.draw(found, rows=7)
    names = [f"{operator.index} {operator.name}" for operator in found.operators]
    assert [text for text in titles(fig) if text in names] == names
    assert arrow_count(fig) == edge_count(found, found.operators)
    assert f"{len(names)} of {len(names)} operators" in alt


def test_a_part_tells_where_its_inputs_come_from(found):
    adds = [operator.index for operator in found.operators if operator.name == "ADD"]
    stop = adds[1] + 1
    start = stop - 6
    fig, alt = graph_drawing.draw(found, start=start, stop=stop)
    assert f"from {start - 1}" in titles(fig)
    assert arrow_count(fig) == edge_count(found, found.operators[start:stop])
    assert alt.startswith(f"Graph of 6 of {len(found.operators)} operators, in order:")


def test_skip_connections_are_told_in_words(found):
    _, alt = graph_drawing.draw(found)
    add = [operator for operator in found.operators if operator.name == "ADD"][1]
    writers = {index: operator for operator in found.operators for index in operator.outputs}
    shortcut = min((writers[index] for index in add.inputs if index in writers), key=lambda it: it.index)
    assert f"{shortcut.index} {shortcut.name} to {add.index} ADD" in alt


def test_places_are_told_by_hatch_and_word_not_by_colour_alone(found):
    places = ["accelerator"] * 5 + ["CPU"] * (len(found.operators) - 5)
    fig, alt = graph_drawing.draw(found, places=places)
    hatched = [patch for patch in fig.axes[0].patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert len(hatched) == places.count("CPU") + 1  # and one in the legend
    assert sum(text.endswith("  CPU") for text in titles(fig)) == places.count("CPU")
    assert {"on the accelerator", "on the CPU"} <= set(titles(fig))
    assert f"{places.count('CPU')} of {len(places)} on the CPU: 5 " in alt
    assert "None of them" in graph_drawing.draw(found, places=["accelerator"] * len(places))[1]


@pytest.mark.parametrize("rows", [6, 18])
def test_letters_stay_in_their_boxes(found, rows):
    fig, _ = graph_drawing.draw(found, places=["CPU"] * len(found.operators), rows=rows)
    renderer = fig.canvas.get_renderer()
    boxes = [
        patch.get_window_extent(renderer)
        for patch in fig.axes[0].patches
        if isinstance(patch, Rectangle) and patch.get_width() == graph_drawing.BOX_WIDTH
    ]
    inside = 0
    for text in fig.axes[0].texts:
        letters = text.get_window_extent(renderer)
        middle = (letters.x0 + letters.x1) / 2, (letters.y0 + letters.y1) / 2
        for box in boxes:
            if text.get_text() and box.contains(*middle):
                assert box.x0 <= letters.x0 and letters.x1 <= box.x1, text.get_text()
                inside += 1
    assert inside == 2 * len(boxes)


def test_boxes_do_not_overlap(found):
    fig, _ = graph_drawing.draw(found, rows=9)
    boxes = [
        patch.get_bbox()
        for patch in fig.axes[0].patches
        if isinstance(patch, Rectangle) and patch.get_width() == graph_drawing.BOX_WIDTH
    ]
    assert len(boxes) == len(found.operators) + 1
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_keras_layers_are_drawn_before_conversion(network):
    fig, alt = graph_drawing.draw_keras(network)
    assert titles(fig).count("BatchNormalization") == 6
    reads = sum(len(layer.input) if isinstance(layer.input, list) else 1 for layer in network.layers[1:])
    assert arrow_count(fig) == reads
    assert "ReLU to Add" in alt
    part, alt = graph_drawing.draw_keras(network, start=2, stop=5)
    assert [text for text in titles(part) if text.isalnum() and not text[0].isdigit()] == [
        "Conv2D", "BatchNormalization", "ReLU",
    ]  # fmt: skip
    assert "from 1" in titles(part)


@pytest.mark.parametrize(
    "wrong",
    [{"start": 99}, {"start": -1}, {"start": 5, "stop": 5}, {"places": ["CPU"]}, {"places": ["moon"] * 999}],
)
def test_what_cannot_be_drawn_is_explained(found, wrong):
    with pytest.raises(InputError):
        graph_drawing.draw(found, **wrong)
