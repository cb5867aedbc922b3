"""One model on every target: right, wrong, simulated, refused and missing ones."""

from dataclasses import replace
from functools import cached_property

import matplotlib.pyplot as plt
import numpy as np
import pytest

from edgelab import estimate, graph, pipeline, quantization, results, survey, targets, verification
from edgelab.errors import InputError, TargetError
from edgelab.machine import browsers
from edgelab.machine.gpu_adapter import SOFTWARE_VARIABLE
from edgelab.runtime import Availability
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.web import engine

pytestmark = pytest.mark.slow

FAULTY_KIND = "DEPTHWISE_CONV_2D"


class Faulty(CpuTarget):
    """A processor that computes depthwise convolutions with other weights."""

    name = "faulty"

    def open(self, model):
        path = model.path
        content, found = path.read_bytes(), graph.read(path)
        weights = [found.tensors[node.inputs[1]] for node in found.operators if node.name == FAULTY_KIND]
        changes = {t.index: np.where(t.values() < 0, 127, -127).astype(np.int8) for t in weights}
        broken = path.with_name(f"broken-{path.name}")
        broken.write_bytes(graph.with_values(content, changes))
        return super().open(broken)


class Simulated(CpuTarget):
    """A vendor's tool: counts cycles when it compiles, and gives results but no time."""

    name = "simulated"

    def compile(self, model, out, *, calibration=None):
        made = super().compile(model, out, calibration=calibration)
        return replace(made, vendor_latency_ms=1.25, vendor_note="counted")

    def open(self, model):
        session = super().open(model)
        session.provenance = "simulated"
        return session


class Refusing(CpuTarget):
    """A compiler that takes no model."""

    name = "refusing"

    def compile(self, model, out, *, calibration=None):
        raise TargetError("It takes no such model.", fix="another model")


class OnDevice(CpuTarget):
    """A converter that takes the Keras model itself; where operators run, the device decides."""

    name = "ondevice"
    takes = "keras"
    precision = "float16"

    def compile(self, model, out, *, calibration=None):
        as_float = quantization.convert(model, "float32", name="ondevice").path
        return replace(super().compile(as_float, out), placement=None)


class Missing(CpuTarget):
    """Not installed."""

    name = "missing"

    def probe(self):
        return Availability(False, False, "not here", fix="install it")


class OnlyRuns(CpuTarget):
    """A board that runs what was compiled elsewhere."""

    name = "onlyruns"

    def probe(self):
        return Availability(False, True, "no compiler for this processor", fix="compile on another machine")


class Unplugged(CpuTarget):
    """A machine whose cable is pulled once the outputs are home."""

    def open(self, model):
        if getattr(self, "was_open", False):
            raise TargetError("The link broke.", fix="plug it in again")
        self.was_open = True
        return super().open(model)


DOUBLES = (Faulty, Simulated, Refusing, Missing, OnlyRuns, OnDevice)


@pytest.fixture(scope="module")
def chain(patterns, small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("survey") / "small.keras"
    small_model.save(path)

    class SmallChain(pipeline.Pipeline):
        @cached_property
        def dataset(self):
            return patterns

        def float_model(self):
            return path, None

        def converted(self, mode="int8", io_dtype=None):
            images = patterns.calibration_images(100) if mode == "int8" else None
            io_dtype = "uint8" if mode == "int8" else "float32"
            return quantization.convert(path, mode, images, io_dtype=io_dtype, name="small")

    return SmallChain("fast", "shapes", 0, "small")


@pytest.fixture(scope="module")
def doubles():
    """Our targets stand among the others."""
    with pytest.MonkeyPatch.context() as patch:
        real = targets.module_of
        names = {double.name for double in DOUBLES}
        patch.setattr(targets, "module_of", lambda name: __name__ if name in names else real(name))
        for double in DOUBLES:
            patch.setitem(targets._CLASSES, double.name, double.__name__)
        yield


@pytest.fixture(scope="module")
def found(chain, doubles):
    return survey.run(chain, [double.name for double in DOUBLES], image_count=60)


def entry(found, name):
    [it] = [it for it in found.entries if it.target == name]
    return it


def test_the_processor_comes_first_and_is_timed(found):
    first = found.entries[0]
    assert first.target == "cpu"
    assert first.comparison.agreement == 1
    assert first.latency.provenance == "measured"


def test_a_wrong_result_is_red_and_names_the_operator_where_it_starts(found):
    wrong = entry(found, "faulty")
    assert found.wrong == (wrong,)
    assert FAULTY_KIND in wrong.divergence
    assert wrong.latency is None
    [row] = [row for row in found._repr_html_().split("<tr>") if ">faulty<" in row]
    assert survey.WRONG_STYLE in row
    assert "WRONG RESULT" in row
    assert "WRONG RESULT" in str(found)


def test_a_simulation_has_an_accuracy_and_the_vendors_latency(found):
    simulated = entry(found, "simulated")
    assert simulated.run_provenance == "simulated"
    assert (simulated.latency.value, simulated.latency.provenance) == (1.25, "simulated")


def test_what_fails_or_is_missing_says_why(found):
    assert "It takes no such model" in entry(found, "refusing").note
    assert entry(found, "missing").note == "install it"
    for name in ("refusing", "missing"):
        assert entry(found, name).comparison is None


def test_a_placement_that_nobody_can_tell_is_left_open(found):
    placed = entry(found, "ondevice")
    assert (placed.precision, placed.placement) == ("float16", "")
    assert placed.comparison.agreement > 0.9 and "decided on the device" in placed.note


def test_the_picture_shows_what_the_table_says(found):
    fig, alt = survey.plot(found)
    left, right = fig.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [f"{it.target} {it.precision}" for it in found.entries]
    low, high = sorted(left.get_ylim())
    assert low < 0 < len(names) - 1 < high

    def drawn(axes):
        points = [line for line in axes.lines if line.get_marker() not in ("", "None", None)]
        return {line.get_ydata()[0]: line.get_xdata()[0] for line in points if len(line.get_xdata()) == 1}

    compared = {row: -it.comparison.loss_points for row, it in enumerate(found.entries) if it.comparison}
    assert drawn(left) == pytest.approx(compared)
    assert drawn(right) == pytest.approx(
        {row: it.latency.value for row, it in enumerate(found.entries) if it.latency}
    )
    told = dict(part.split(": ") for part in alt.split(". ", 1)[1].removesuffix(".").split("; "))
    assert list(told) == names
    assert told["missing int8"] == "nothing ran"
    assert "a wrong result" in told["faulty int8"]
    assert told["simulated int8"].endswith("1.25 ms simulated")
    shown = {text.get_text() for text in right.get_legend().get_texts()}
    assert shown == {"measured", "simulated"}
    plt.close(fig)


def test_records_say_where_they_come_from_and_leave_wrong_results_out(found):
    frame = results.to_frame(found.records())
    assert "faulty" not in set(frame["target"])
    simulated = frame[frame["target"] == "simulated"].set_index("metric")
    assert simulated.loc["accuracy", "provenance"] == simulated.loc["latency", "provenance"] == "simulated"
    assert simulated.loc["size", "provenance"] == "measured"


def test_without_a_compiler_a_file_compiled_elsewhere_is_run_and_timed(chain, found, doubles):
    assert entry(found, "onlyruns").comparison is None
    assert entry(found, "onlyruns").note == "compile on another machine"
    path = chain.converted("int8").path
    taken = survey.run(chain, ["onlyruns"], compiled={"onlyruns": path}, image_count=20)
    it = entry(taken, "onlyruns")
    assert it.comparison.agreement == 1 and it.latency.provenance == "measured"
    assert it.size_bytes == path.stat().st_size and not it.note
    with pytest.raises(InputError, match="'rknn', which is not asked"):
        survey.run(chain, ["onlyruns"], compiled={"rknn": path}, image_count=20)


def test_another_machine_is_asked_too_and_its_cable_costs_the_others_nothing(chain, doubles):
    machines = [CpuTarget(threads=1), Unplugged()]
    here, calm, cut = survey.run(chain, [], elsewhere=machines, image_count=20).entries[-3:]
    assert here.latency.provenance == calm.latency.provenance == "measured"
    assert cut.comparison.agreement == 1 and cut.latency is None and "The link broke" in cut.note


def test_a_browser_is_two_places_and_its_software_gpu_is_never_timed(chain, monkeypatch):
    if reason := engine.readiness()[0]:
        pytest.skip(reason)
    monkeypatch.setenv(SOFTWARE_VARIABLE, "1")
    found = survey.run(chain, ["web"], image_count=20)
    wasm, gpu = entry(found, "web/wasm"), entry(found, "web/webgpu")
    assert (wasm.precision, gpu.precision) == ("int8", "float32")
    assert wasm.latency.target == "web/wasm" and wasm.comparison.output_error.cosine == pytest.approx(1)
    assert (gpu.run_provenance == "measured") == (gpu.latency is not None)
    assert {"web/wasm", "web/webgpu"} <= {record.target for record in found.records()}


def test_without_a_browser_both_say_how_to_get_one(chain, monkeypatch):
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    monkeypatch.setattr(engine, "_PAGES", {})
    found = survey.run(chain, ["web"], image_count=20)
    for name in ("web/wasm", "web/webgpu"):
        assert entry(found, name).comparison is None and "install" in entry(found, name).note


def test_a_device_that_is_not_here_is_estimated(chain):
    found = survey.run(chain, ["edgetpu"], image_count=20)
    it = entry(found, "edgetpu")
    if it.run_provenance == "measured":
        pytest.skip("there is an Edge TPU here")
    assert it.latency.provenance == "estimated"
    assert it.latency.value == pytest.approx(
        estimate.latency(chain.converted("int8").path, "edgetpu").latency_ms
    )
    assert it.device == estimate.DEVICES["edgetpu"].chip


@pytest.mark.parametrize(
    "lost, gained, count, is_wrong, is_open",
    [
        (2, 0, 20, False, True),  # 10 points, of which 20 pictures show nothing
        (0, 2, 20, False, True),
        (40, 0, 200, True, False),
        (0, 40, 200, True, False),
        (30, 29, 2000, False, False),
    ],
)
def test_a_result_is_wrong_only_where_the_interval_says_so(lost, gained, count, is_wrong, is_open):
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    reference = np.array([right] * (count - gained) + [wrong] * gained)
    candidate = np.array([wrong] * lost + [right] * (count - lost))
    labels = np.zeros(count, int)
    comparison = verification.compare_outputs(reference, candidate, labels, ("a", "b"))
    one = survey.Entry("cpu", "int8", comparison=comparison, run_provenance="measured", note="slow")
    assert (one.is_wrong, one.is_open) == (is_wrong, is_open)
    told = str(survey.Survey("model", "data", count, (one,), ""))
    assert ("WRONG RESULT" in told, "is not shown" in told) == (is_wrong, is_open)
    assert ("slow" in told) == (not is_wrong)
