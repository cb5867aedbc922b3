"""The driver's errors, in words."""

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


DRIVER_ERRORS = {803: "too old", 2: "memory is full", 46: "not available any more", 1: "driver failed"}


@pytest.mark.parametrize("code", DRIVER_ERRORS)
def test_a_failing_driver_is_told_in_words(code):
    """An old driver, a full memory, a GPU that was taken away: the library's number becomes advice."""
    from edgelab.targets.tensorrt import worker

    class FailingLibrary:
        def cuInit(self, flags):  # noqa: N802 - the driver's own names
            return code

        def cuGetErrorString(self, number, text):  # noqa: N802 - its name in CUDA
            return 0

    driver = object.__new__(worker.Driver)
    driver._library = FailingLibrary()
    with pytest.raises(worker.Refusal, match=DRIVER_ERRORS[code]) as caught:
        driver._call("cuInit", 0)
    error = caught.value.answer["error"]
    assert f"error {code}" in error["why"] and error["fix"] and not error["is_model"]
