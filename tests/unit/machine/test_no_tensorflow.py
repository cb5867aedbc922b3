"""Where TensorFlow is missing, what needs it says so, and a notebook's other cells run."""

import sys

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from edgelab import environment, models, pipeline, quantization, targets, training
from edgelab.errors import TargetError
from edgelab.machine import no_tensorflow, quiet
from edgelab.machine.no_tensorflow import TensorFlowMissingError


@pytest.fixture
def missing(monkeypatch):
    """Python refuses to import it, as where it is not installed; other packages stay as they are."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "keras", None)


@pytest.fixture
def run(missing):
    """Runs a cell; True when it ended well."""
    shell = InteractiveShell()
    shell.ast_transformers.append(no_tensorflow._Skipping(shell))

    def run_cell(source):
        done = shell.run_cell(source)
        run_cell.value = done.result
        return done.success

    run_cell.names = shell.user_ns
    return run_cell


def test_it_is_here_where_the_tests_run():
    assert no_tensorflow.is_here() and no_tensorflow.version()[0].isdigit()


def test_every_step_that_needs_it_names_it_and_the_fix(missing, tmp_path):
    assert not no_tensorflow.is_here() and no_tensorflow.version() == ""
    for step in (
        quiet.import_tensorflow,
        lambda: quantization.convert(pipeline.PRETRAINED_DIR / "uneven_shapes.keras", "float32"),
        lambda: training.train(lambda: models.mobilenet_v2(), None, name="none"),
        lambda: pipeline.open("fast", seed=7).float_model(),
        lambda: pipeline.open("fast", seed=7).converted("float32"),
        lambda: pipeline.open("full", "shapes").converted("float32"),
        lambda: targets.get("keras").open(pipeline.PRETRAINED_DIR / "uneven_shapes.keras"),
    ):
        with pytest.raises(TensorFlowMissingError, match="not installed") as caught:
            step()
        assert isinstance(caught.value, TargetError) and "make PYTHON=" in caught.value.fix


def test_the_report_and_the_target_say_so(missing):
    for found in (
        environment.tensorflow(),
        environment.report({"TensorFlow": environment.tensorflow})["TensorFlow"],
    ):
        assert found.status == environment.MISSING and found.fix == no_tensorflow.fix()
    assert not targets.get("keras").probe().can_run


def test_a_cell_that_needs_it_is_skipped_and_so_is_what_needs_that(run, capsys):
    assert run("import keras\nmodel = keras.Input(3)\nsizes = {}")
    assert "this cell needs TensorFlow" in capsys.readouterr().out
    assert run("y = 1\ny + 1") and run.value == 2
    assert run("made = [model]\nkind = type(model)")
    assert "no cell has made model" in capsys.readouterr().out
    assert run("kind") and "no cell has made kind" in capsys.readouterr().out
    assert run("sizes['a'] = 1") and "no cell has made sizes" in capsys.readouterr().out
    assert "made" not in run.names


def test_a_name_that_a_later_cell_makes_is_there_again(run):
    assert run("import tensorflow as tf\nmodel = tf.Module()")
    assert run("model = 3")
    assert run("model") and run.value == 3


def test_modules_imported_before_the_failure_stay(run):
    assert run("import string\nimport keras")
    assert run("string.digits") and run.value == "0123456789"


def test_an_error_that_was_raised_from_it_counts(run, capsys):
    source = "try:\n    import keras\nexcept ImportError as error:\n    raise ValueError('told') from error"
    assert run(source) and "needs TensorFlow" in capsys.readouterr().out


def test_any_other_error_stays_an_error(run):
    assert not run("1 / 0")
    assert not run("import a_package_that_nobody_has")
    assert not run("print(unknown_name)")


def test_where_it_is_no_cell_is_touched():
    assert no_tensorflow.skip_cells() is False


def test_skipped_cells_are_counted():
    told = nbformat.v4.new_output("display_data", {"text/plain": "…"}, metadata={no_tensorflow.SKIPPED: True})
    cells = [nbformat.v4.new_code_cell(outputs=outputs) for outputs in ([told], [], [told])]
    assert (
        no_tensorflow.skipped_cells(nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell()]))
        == 2
    )
