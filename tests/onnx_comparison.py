"""Outputs of runtimes that start from ONNX, compared; and damaged files."""

import numpy as np

from edgelab.runtime import predict
from edgelab.verification import output_error


def outputs_of(target, model, patterns):
    with target.open(model) as session:
        return predict(session, patterns.test_images)


def assert_close(candidate, reference, cosine, agreement=0.95):
    assert output_error(reference, candidate).cosine > cosine
    assert np.mean(candidate.argmax(axis=1) == reference.argmax(axis=1)) >= agreement


def damage(path, content):
    path.write_bytes(content)
    return path
