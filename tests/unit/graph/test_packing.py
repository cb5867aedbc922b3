import pytest

from edgelab import graph
from edgelab.errors import ModelError
from edgelab.graph.layers import Layers, network
from edgelab.graph.packing import packed, unpacked


def test_there_and_back_nothing_is_lost():
    content = network(Layers("conv", 6, 4, count=2, dtype="int8"))
    again = packed(unpacked(content))
    assert graph.read(again) == graph.read(content)
    for before, after in zip(graph.read(content).tensors, graph.read(again).tensors, strict=True):
        assert before.scale == after.scale and before.shape == after.shape


@pytest.mark.parametrize("part", ["subgraphs", "operatorCodes", "buffers"])
def test_a_part_that_is_no_list_is_told(part):
    whole = unpacked(network(Layers("dense", 1, 4, count=1)))
    setattr(whole, part, 7)
    with pytest.raises(ModelError, match="cannot be changed"):
        packed(whole)
