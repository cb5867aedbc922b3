"""A model compiled for one of OpenVINO's devices."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.errors import ModelError
from edgelab.machine import hardware
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.texts import tr

if TYPE_CHECKING:
    from edgelab.targets.openvino.target import OpenVinoTarget

# What the CPU does beside computing: constants, ends of the graph, changes of form and order.
NOT_COMPUTING = ("Const", "Input", "Output", "Reshape", "Reorder", "Memory", "Concatenation", "Split")


def runtime_version() -> str:
    """Name and version of the runtime."""
    return f"OpenVINO {hardware.version_of('openvino')}"


def first_line(error: Exception) -> str:
    """The line of a message that says something: OpenVINO puts source files and check failures around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check ", "at ", "src/"))]
    return (told or lines or [type(error).__name__])[0]


class OpenVinoSession(ClosesAtEnd):
    """A model compiled for one of OpenVINO's devices. Made by `OpenVinoTarget.open`."""

    target = "openvino"
    provenance = "measured"
    placement: Placement | None = None
    fault = ""

    def __init__(self, model: Any, core: Any, target: OpenVinoTarget, known: dict[str, TensorSpec]) -> None:
        self._compiled = target.compiled_for_device(model, core)
        self._request = self._compiled.create_infer_request()
        self._requests: list[Any] = []
        self.inputs = tuple(_spec(port, known) for port in self._compiled.inputs)
        self.outputs = tuple(_spec(port, known) for port in self._compiled.outputs)
        self.threads, self.hint = target.threads, target.hint
        self.parallel_requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.device = core.get_property(target.device, "FULL_DEVICE_NAME").strip()
        if target.device == "CPU":
            self.device = hardware.processor_name()
        self.runtime_version = runtime_version()

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, waited for.

        Raises:
            InputError: wrong count, shape or type.
            ModelError: the session is closed, or the model fails on this input.
        """
        self._check_open()
        check_inputs(self.inputs, inputs)
        try:
            results = self._request.infer(list(inputs), share_inputs=True)
        except RuntimeError as error:
            raise ModelError(
                tr("The model failed while it ran."), why=first_line(error), fix=tr("convert it again")
            ) from error
        return tuple(results[index] for index in range(len(self.outputs)))

    def run_many(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """Many inferences, as many at once as the hint asked for; each takes one input and gives one output.

        Args:
            batches: arrays for `run`.

        Returns:
            The first output of each, in order.
        """
        self._check_open()
        for batch in batches:
            check_inputs(self.inputs, (batch,))
        if not self._requests:
            made = range(self.parallel_requests)
            self._requests = [self._compiled.create_infer_request() for _ in made]
        found = []
        for index in range(len(batches) + len(self._requests)):
            # No callbacks: OpenVINO's own queue waits for Python's lock when it is freed, forever.
            request = self._requests[index % len(self._requests)]
            if index >= len(self._requests) and len(found) < len(batches):
                request.wait()
                found.append(request.get_output_tensor(0).data.copy())
            if index < len(batches):
                request.start_async([batches[index]], share_inputs=True)
        return found

    def executed_kernels(self) -> tuple[dict[str, Any], ...]:
        """What the device executes, after fusing: rows as of `targets.onnxruntime.executed_kernels`.

        Returns:
            One row per kind of kernel: "kernel", "count", "computes in" ("8 bits", "float" or "converts") and
            "implementation", by which name the vendor's library knows it.
        """
        self._check_open()
        kernels: Counter[tuple[str, str, str]] = Counter()
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            facts = {key: value.astype(str) for key, value in node.get_rt_info().items()}
            kind, name = facts.get("layerType", "?"), facts.get("primitiveType", "")
            is_integer = name.upper().endswith("I8") or facts.get("runtimePrecision", "") in ("u8", "i8")
            computes = "converts" if kind in NOT_COMPUTING else "8 bits" if is_integer else "float"
            if kind not in ("Const", "Input", "Output"):
                kernels[kind, computes, name] += 1
        return tuple(
            {"kernel": kind, "count": count, "computes in": computes, "implementation": name}
            for (kind, computes, name), count in kernels.most_common()
        )

    def _check_open(self) -> None:
        if self._compiled is None:
            raise ModelError(tr("This session is closed."), fix=tr("open the model again"))

    def close(self) -> None:
        """Free the model and the device. A second call does nothing."""
        self._requests, self._request, self._compiled = [], None, None


def _spec(port: Any, known: dict[str, TensorSpec]) -> TensorSpec:
    name = port.any_name
    shape = tuple(-1 if size.is_dynamic else size.get_length() for size in port.partial_shape)
    spec = known.get(name)
    dtype = np.dtype(port.element_type.to_dtype())
    if spec is None or spec.dtype != dtype:
        return TensorSpec(name, shape, dtype)
    return TensorSpec(name, shape, dtype, spec.scale, spec.zero_point)
