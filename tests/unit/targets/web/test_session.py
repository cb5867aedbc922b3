"""Models in a real browser."""

import contextlib
import threading
import time

import numpy as np
import pytest
from waiting import wait_for

from edgelab import benchmark, graph
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.graph.layers import Layers, network
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.gpu.trial import sample_inputs
from edgelab.targets.web.engine import Page
from edgelab.targets.web.session import WebSession, variant
from edgelab.targets.web.target import WebTarget

pytestmark = pytest.mark.slow


def opened(path, page, accelerator="wasm", **options):
    return WebSession(path.read_bytes(), page, accelerator=accelerator, **options)


def test_float_on_wasm_is_the_cpus_and_comes_back_at_once(page, web_files):
    with (
        WebTarget("wasm", page=page).open(web_files["float32"]) as session,
        CpuTarget().open(web_files["float32"]) as cpu,
    ):
        assert session.fault == "" and session.provenance == "measured"
        assert (session.placement.accelerated, session.placement.total) == (8, 8)
        for row in sample_inputs(session.inputs):
            [found], [want] = session.run(*row), cpu.run(*row)
            assert found.dtype == np.float32 and np.allclose(found, want, rtol=0, atol=1e-6)
        found[0, 0] = 1  # Python's own memory, which may be written


def test_integers_on_wasm_are_the_cpus_bit_for_bit(page, web_files):
    with (
        WebTarget("wasm", page=page).open(web_files["int8"]) as session,
        CpuTarget().open(web_files["int8"]) as cpu,
    ):
        rows = list(sample_inputs(session.inputs, 64))
        want = [cpu.run(*row)[0] for row in rows]
        assert len({array.tobytes() for array in want}) > 30  # it does not answer all inputs alike
        assert [array.tobytes() for [array] in session.run_all(rows)] == [array.tobytes() for array in want]
        assert session.fault == ""


def test_float_on_webgpu_is_the_cpus_and_a_gpu_that_the_processor_plays_is_never_timed(page, web_files):
    with WebTarget("webgpu", page=page).open(web_files["float32"]) as session:
        assert session.fault == "" and session.provenance == "simulated" and "software" in session.device
        with pytest.raises(TargetError, match="simulator"):
            benchmark.measure(session)


def test_integers_on_webgpu_are_wrong_without_an_error_and_that_is_a_fault(page, web_files):
    with WebTarget("webgpu", page=page).open(web_files["int8"]) as session:
        assert session.complaints == (), "the runtime says nothing"
        assert "quantization steps" in session.fault
        with pytest.raises(TargetError, match="results are wrong"):
            benchmark.measure(session)


def test_a_model_that_the_gpu_hardly_takes_is_shown_as_such(page, web_files):
    with opened(web_files["int16x8"], page, "webgpu") as session:
        assert session.placement.accelerated < session.placement.total
        assert session.placement.reasons


def test_operators_that_are_not_there_give_rubbish_without_an_error_and_are_refused(page, web_files):
    content = web_files["flex"].read_bytes()
    # The runtime itself: it opens the model, runs it, and tells of success.
    answer, _ = page.ask("open", [content], variant="jspi", accelerator="wasm")
    assert answer["ok"]
    row = [{"dtype": "float32", "shape": [1, 2, 2]}]
    ran, parts = page.ask(
        "run", [np.eye(2, dtype=np.float32).tobytes()], variant="jspi", model=answer["model"], rows=[row]
    )
    assert ran["ok"] and not np.allclose(np.frombuffer(parts[0], np.float32), [2, 1, 1, 2])
    with pytest.raises(ModelError, match="FlexMatrixInverse") as caught:
        opened(web_files["flex"], page)
    assert "Select TF ops" in caught.value.fix


@pytest.mark.parametrize(("name", "why"), [("int64", "int64"), ("open size", "fixed sizes")])
def test_what_the_browser_cannot_hold_is_refused_before_it_is_sent(page, web_files, name, why):
    with pytest.raises(ModelError, match=why):
        opened(web_files[name], page)


def test_a_file_that_is_none_is_refused_by_the_browser_too(page, web_files):
    content = bytearray(web_files["float32"].read_bytes())
    graph.read(bytes(content))
    answer, _ = page.ask("open", [bytes(content[:400])], variant="jspi", accelerator="wasm")
    assert not answer["ok"]


def test_the_pages_clock_times_batches_that_it_can_tell(page, web_files):
    with opened(web_files["float32"], page) as session:
        [row] = sample_inputs(session.inputs, 1)
        started = time.perf_counter()
        times = session.time_runs(row, 20)
        elapsed_ms = 1e3 * (time.perf_counter() - started)
        assert len(times) == 20 and min(times) > 0
        assert sum(times) * session.runs_per_sample < elapsed_ms
        found = benchmark.measure(session, row, max_seconds=0.5)
        assert (found.target, found.provenance) == ("web/wasm", "measured")
        assert "LiteRT.js" in found.runtime_version


def test_a_coarse_clock_gets_larger_batches(page, web_files, monkeypatch):
    coarse = Page(
        "headless", page._host, {**page.found, "clock_ms": 0.1}
    )  # as in a page that is not isolated
    asked, ask = [], coarse.ask

    def noted(kind, *arguments, **fields):
        asked.append((kind, fields))
        return ask(kind, *arguments, **fields)

    monkeypatch.setattr(coarse, "ask", noted)
    with opened(web_files["float32"], coarse) as session:
        row = next(sample_inputs(session.inputs))
        session.time_runs(row, 1)
        batch = session.runs_per_sample
        session.time_runs(row, 1)
        assert session.runs_per_sample == batch >= 1
        first, second = (fields for kind, fields in asked if kind == "time")
        assert (first["batch"], second["batch"]) == (0, batch)
        assert first["least_ms"] == second["least_ms"] == pytest.approx(50 * 0.1)

        def batched():  # one inference that is held up may last as long as a whole batch, but not each time
            session.runs_per_sample = 0
            session.time_runs(row, 1)
            return session.runs_per_sample > 1

        wait_for(batched, 60)


def test_outputs_of_many_megabytes_come_back(page, tmp_path):
    path = tmp_path / "wide.tflite"
    path.write_bytes(network(Layers("dense", 512, 512, count=1)))
    with opened(path, page) as session, CpuTarget(threads=1).open(path) as reference:
        rows = list(sample_inputs(session.inputs, 10))
        found = session.run_all(rows)
        assert sum(one.nbytes for outputs in found for one in outputs) > 2**23
        for row, outputs in zip(rows, found, strict=True):
            np.testing.assert_allclose(outputs[0], reference.run(*row)[0], rtol=1e-4, atol=1e-2)


def test_two_models_at_once_keep_apart(page, web_files):
    with opened(web_files["float32"], page) as one, opened(web_files["int8"], page) as other:
        assert one.run(*next(sample_inputs(one.inputs)))[0].dtype == np.float32
        assert other.run(*next(sample_inputs(other.inputs)))[0].dtype == np.uint8


def test_inputs_are_checked_and_a_closed_session_says_so(page, web_files):
    session = opened(web_files["float32"], page)
    with pytest.raises(InputError, match="expected float32"):
        session.run(np.zeros((1, 16, 16, 3)))
    with pytest.raises(InputError, match="input"):
        session.run()
    session.close()
    session.close()
    with pytest.raises(TargetError, match="closed"):
        session.run(np.zeros((1, 16, 16, 3), np.float32))


def test_an_interrupted_run_leaves_a_session_that_goes_on(page, web_files):
    with opened(web_files["float32"], page) as session:
        row = (np.full((1, 16, 16, 3), 90, np.float32),)
        want = session.run(*row)[0]
        with contextlib.suppress(TargetError):
            page.ask("time", [row[0].tobytes()], variant=session.variant, model=session.number,
                     rows=[[{"dtype": "float32", "shape": [1, 16, 16, 3]}]], count=200, batch=20, least_ms=1,
                     limit_s=0.01)  # fmt: skip
        assert np.array_equal(session.run(*row)[0], want)


def test_several_threads_of_python_get_their_own_answers(page, web_files):
    with opened(web_files["float32"], page) as session:
        rows = [(np.full((1, 16, 16, 3), value, np.float32),) for value in (10, 200)]
        want = [session.run(*row)[0] for row in rows]
        found = [None, None]

        def work(index):
            found[index] = [session.run(*rows[index])[0] for _ in range(10)]

        threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert all(np.array_equal(array, want[index]) for index in (0, 1) for array in found[index])


def test_threads_need_a_page_that_may_have_them(page, web_files):
    with opened(web_files["float32"], page, threads=2) as session:
        assert session.variant == "threaded"
    with pytest.raises(InputError, match="one thread"):
        variant(page, "webgpu", 2)
