"""Float islands compute nearly the same, and the accelerator stops at them."""

import numpy as np
import pytest

from edgelab import graph, targets
from edgelab.diagnosis import evidence, islands
from edgelab.errors import EdgelabError, InputError
from edgelab.report import smells

pytestmark = pytest.mark.slow


def answers(content, tmp_path, pictures):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with targets.get("cpu", threads=1).open(path) as session:
        return evidence.raw_outputs(session, pictures)


@pytest.mark.parametrize("places", [(0,), (1,), (0, 1)])
def test_additions_in_float_change_little(chain, tmp_path, places):
    model = chain.converted("int8").path.read_bytes()
    changed = islands.with_float_additions(model, places)
    pictures = chain.dataset.test_images[:20]
    before, after = (answers(content, tmp_path, pictures) for content in (model, changed))
    assert np.mean(before.argmax(axis=1) == after.argmax(axis=1)) >= 0.9
    counts = graph.read(changed).operator_counts
    assert counts["DEQUANTIZE"] == 2 * len(places)
    assert "float_island" in {one.key for one in smells.smells(graph.read(changed))}
    assert evidence.placed(changed)[0] < evidence.placed(model)[0]


def test_a_version_that_is_yet_to_come_is_refused(chain, tmp_path):
    changed = islands.with_version(chain.converted("int8").path.read_bytes(), 99)
    with pytest.raises(EdgelabError):
        answers(changed, tmp_path, chain.dataset.test_images[:1])


def test_there_must_be_such_an_addition(chain):
    with pytest.raises(InputError, match="additions"):
        islands.with_float_additions(chain.converted("int8").path.read_bytes(), [9])
