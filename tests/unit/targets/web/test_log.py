"""Lines of a browser's console."""

import pytest

from edgelab.targets.web import log

# As LiteRT.js 2.5.3 writes them.
SILENT_FAILURE = [
    "INFO: [compiled_model.cc:812] Flatbuffer model initialized directly from incoming litert model.",
    "ERROR: Node number 0 (FlexMatrixInverse) failed to prepare.",
    "ERROR: [litert_compiled_model.cc:164] Failed to allocate tensors",
    "ERROR: Node number 0 (FlexMatrixInverse) failed to prepare.",
]
PARTLY = [
    "ERROR: Following operations are not supported by GPU delegate:\n"
    "QUANTIZE: Unsupported data type. Tensor x.\n"
    "SOFTMAX: Tensor type(INT16) is not supported.\n"
    "1 operations will run on the GPU, and the remaining 9 operations will run on the CPU.",
    "%c[LiteRT]%c Model not fully compiled for webgpu. Partially delegating to WASM execution. "
    "background: #FFA000; color: black; font-weight: bold; padding: 2px 5px; border-radius: 3px;",
]


def test_a_failure_without_an_error_is_found_once():
    assert log.failures(SILENT_FAILURE) == (
        "ERROR: Node number 0 (FlexMatrixInverse) failed to prepare.",
        "ERROR: [litert_compiled_model.cc:164] Failed to allocate tensors",
    )


@pytest.mark.parametrize(
    "line",
    [
        "INFO: Failed to load OpenCL library with dlopen: dynamic linking not enabled. Trying ICD loader.",
        "WARNING: [npu_registry.cc:34] NPU accelerator could not be loaded and registered: kLiteRtStatus…",
    ],
)
def test_what_every_start_says_is_no_failure(line):
    assert log.failures([line]) == ()


def test_the_runtimes_own_count_is_the_placement_with_its_reasons():
    placed = log.placement(PARTLY, asked="webgpu", got="webgpu", fully=False, total=10)
    assert (placed.accelerated, placed.total) == (1, 10)
    assert placed.reasons == (
        ("QUANTIZE", "Unsupported data type"),
        ("SOFTMAX", "Tensor type(INT16) is not supported"),
    )


def test_a_count_that_does_not_fit_the_file_is_said_to_be_unsure():
    placed = log.placement(PARTLY, asked="webgpu", got="webgpu", fully=False, total=12)
    assert any("unsure" in reason for _, reason in placed.reasons)


def test_a_model_that_fell_back_is_shown_as_such():
    line = "%c[LiteRT]%c Model not fully compiled on non-JSPI browser. Falling back to WASM execution."
    placed = log.placement([line], asked="webgpu", got="wasm", fully=True, total=7)
    assert (
        placed.accelerated == 0
        and "Falling back" in placed.reasons[0][1]
        and "%c" not in placed.reasons[0][1]
    )


def test_without_a_word_nothing_is_claimed():
    placed = log.placement([], asked="webgpu", got="webgpu", fully=False, total=7)
    assert placed.accelerated == 0 and placed.reasons[0][0] == "unknown"
    assert log.placement([], asked="webgpu", got="webgpu", fully=True, total=7).accelerated == 7
