"""The Edge TPU: where operators run, told from the file; the compiler's log; a device that misbehaves."""

from __future__ import annotations

import csv
import importlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import flatbuffers
import numpy as np
import psutil
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgelab import graph, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.targets.cache import compiled
from edgelab.targets.edgetpu import (
    log as edgetpu_log,
)
from edgelab.targets.edgetpu import (
    rules as edgetpu_rules,
)
from edgelab.targets.edgetpu import (
    target as edgetpu,
)
from edgelab.targets.edgetpu import (
    worker as edgetpu_worker,
)

FAKE_LIBRARY = Path(__file__).with_name("fake_libedgetpu.c")


# --- Small models, each unfriendly in its own way ---


def _models():
    """What to convert, by name: (layers as a function of the input, settings of the converter)."""
    import tensorflow as tf
    from keras import layers

    def conv(x, filters=8, **options):
        return layers.Conv2D(filters, 3, padding="same", **options)(x)

    def apply(function):
        return layers.Lambda(function)

    def shapes_5d(x):
        x = apply(lambda t: tf.reshape(t, (1, 8, 8, 2, 4)))(conv(x))
        x = apply(lambda t: tf.transpose(t, (0, 1, 2, 4, 3)))(x)
        return conv(apply(lambda t: tf.reshape(t, (1, 8, 8, 8)))(x))

    def transpose_5d(x):
        x = apply(lambda t: tf.reshape(t, (1, 1, 8, 8, 8)))(conv(x))
        x = apply(lambda t: tf.transpose(t, (0, 1, 4, 2, 3)))(x)
        return conv(apply(lambda t: tf.reshape(t, (1, 8, 8, 8)))(x))

    def sine(x):
        x = layers.Dense(8, activation="relu")(layers.Flatten()(x))
        return layers.Dense(4)(apply(tf.sin)(layers.Dense(8)(x)))

    def classify(x):
        x = layers.GlobalAveragePooling2D()(conv(x, activation="relu"))
        return layers.Dense(10, activation="softmax")(x)

    def mean(x):
        return apply(lambda t: tf.reduce_mean(t, -1, keepdims=True))(x)

    constant = tf.constant(np.ones((1, 8, 8, 2), np.float32))
    return {
        "friendly": (classify, {}),
        "per tensor": (classify, {"per_channel": False}),
        "float": (classify, {"mode": "float"}),
        "dynamic range": (lambda x: layers.Dense(64)(layers.Flatten()(x)), {"mode": "dynamic range"}),
        "float io": (classify, {"io": "float32"}),
        "int16": (classify, {"mode": "int16"}),
        "batch of 2": (lambda x: conv(conv(x)), {"batch": 2}),
        "open batch": (classify, {"batch": None}),
        "hard swish": (lambda x: conv(layers.Activation("hard_silu")(conv(x))), {}),
        "leaky": (lambda x: conv(layers.LeakyReLU()(conv(x))), {}),
        "transpose conv": (lambda x: layers.Conv2DTranspose(4, 3, strides=2)(conv(x)), {}),
        "resize 2": (lambda x: layers.UpSampling2D(2, interpolation="bilinear")(conv(x)), {}),
        "resize 4": (lambda x: layers.UpSampling2D(4, interpolation="bilinear")(conv(x)), {}),
        "resize 16": (lambda x: layers.UpSampling2D(16, interpolation="bilinear")(conv(x)), {}),
        "five dimensions": (shapes_5d, {}),
        "transpose of five": (transpose_5d, {}),
        "sine": (sine, {}),
        "softmax of pixels": (lambda x: layers.Softmax()(conv(x)), {}),
        "dense on pixels": (lambda x: layers.Dense(5)(layers.Reshape((64, 3))(x)), {}),
        "skips pixels": (lambda x: conv(apply(lambda t: t[:, ::2, ::2])(conv(x))), {}),
        "mean of 3 channels": (lambda x: mean(conv(x, 3)), {}),
        "mean of 4 channels": (lambda x: mean(conv(x, 4)), {}),
        "joins ones": (lambda x: apply(lambda t: tf.concat([t, constant], -1))(conv(x)), {}),
        "slope per pixel": (lambda x: layers.PReLU("ones")(conv(x)), {}),
        "slope per channel": (lambda x: layers.PReLU("ones", shared_axes=[1, 2])(conv(x)), {}),
        "two branches": (
            lambda x: [conv(layers.LeakyReLU()(conv(x))), conv(conv(x))],
            {},
        ),
        "argmax": (lambda x: apply(lambda t: tf.argmax(t, -1))(conv(x)), {}),
    }  # fmt: skip


def _convert(build, mode="int8", io="uint8", batch=1, per_channel=True) -> bytes:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 3), batch_size=batch, name="pixels")
    model = keras.Model(pixels, build(pixels))
    spec = tf.TensorSpec((batch, 8, 8, 3), tf.float32)
    weights = [tf.constant(variable.numpy()) for variable in model.variables]
    trainable = len(model.trainable_variables)

    @tf.function(input_signature=[spec], autograph=False)
    def infer(images):
        return model.stateless_call(weights[:trainable], weights[trainable:], images)[0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([infer.get_concrete_function()])
    converter._experimental_disable_per_channel = not per_channel
    if mode != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode in ("int8", "int16"):
        rng = np.random.default_rng(0)
        images = rng.uniform(0, 1, (4, batch or 1, 8, 8, 3)).astype(np.float32)
        converter.representative_dataset = lambda: ([image] for image in images)
    if mode == "int8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.dtypes.as_dtype(io)
        converter.inference_output_type = tf.dtypes.as_dtype(io)
    if mode == "int16":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter.convert()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a small model by name, converted when first asked for."""
    from edgelab import quantization
    from edgelab.machine import quiet

    quiet.import_tensorflow()
    models, made = _models(), {}

    def get(name: str) -> bytes:
        if name not in made:
            build, settings = models[name]
            with quantization.silence():
                made[name] = _convert(build, **settings)
        return made[name]

    return get


def where(placed, operator: str) -> list[str]:
    return [row.where for row in placed.operators if row.operator == operator]


def reason(placed, operator: str) -> str:
    return next(row.reason for row in placed.operators if row.operator == operator)


# --- Placement ---


@pytest.mark.parametrize(
    "name",
    ["friendly", "per tensor", "resize 2", "mean of 4 channels", "slope per channel", "transpose conv"],
)
def test_friendly_models_are_mapped_whole(content, name):
    placed = edgetpu.placement(content(name))
    assert not placed.on_cpu, placed.frame()
    assert str(placed) == f"{len(placed.operators)} of {len(placed.operators)} operators on the Edge TPU"


def test_float_in_and_out_cost_a_conversion_at_both_ends(content):
    placed = edgetpu.placement(content("float io"))
    assert [row.operator for row in placed.on_cpu] == ["QUANTIZE", "DEQUANTIZE"]
    assert "takes float32" in placed.on_cpu[0].reason
    assert "keeps no other operator" in placed.on_cpu[0].reason
    assert "gives float32" in placed.on_cpu[1].reason


REFUSED = (
    ("float", "not quantized"),
    ("int16", "not quantized"),
    ("dynamic range", "version 12 of FULLY_CONNECTED came with TensorFlow 2.17"),
    ("open batch", "left open"),
)


@pytest.mark.parametrize(("name", "words"), REFUSED)
def test_files_that_the_compiler_refuses_have_nothing_on_the_edge_tpu(content, name, words):
    placed = edgetpu.placement(content(name))
    assert words in placed.refusal
    assert not placed.mapped
    assert all(row.reason for row in placed.operators)


def test_one_operator_that_is_too_new_makes_the_file_unreadable(content):
    """Converters write such versions today; the compiler then says "Didn't find op for builtin opcode"."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(content("transpose conv")), 0)
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.TRANSPOSE_CONV:
            code.version = 4
    placed = edgetpu.placement(_packed(model))
    assert "version 4 of TRANSPOSE_CONV came with TensorFlow 2.13" in placed.refusal
    assert not placed.mapped
    assert "it could run there, but" in reason(placed, "CONV_2D")


def test_a_size_computed_while_running_is_refused(content):
    model = schema.ModelT.InitFromPackedBuf(bytearray(content("five dimensions")), 0)
    part = model.subgraphs[0]
    codes = [code.builtinCode for code in model.operatorCodes]
    reshape = next(o for o in part.operators if codes[o.opcodeIndex] == schema.BuiltinOperator.RESHAPE)
    part.tensors[reshape.inputs[1]].buffer = 0  # buffer 0 is the empty one: no constant any more
    placed = edgetpu.placement(_packed(model))
    assert "RESHAPE computes its size while the model runs" in placed.refusal


UNFRIENDLY = (
    ("hard swish", "HARD_SWISH", "not in the table"),
    ("leaky", "LEAKY_RELU", "not in the table"),
    ("resize 16", "RESIZE_BILINEAR", "enlarges 16 times"),
    ("five dimensions", "RESHAPE", "1x8x8x2x4"),
    ("transpose of five", "TRANSPOSE", "5 dimensions"),
    ("softmax of pixels", "SOFTMAX", "1x8x8x8"),
    ("dense on pixels", "FULLY_CONNECTED", "one vector"),
    ("skips pixels", "STRIDED_SLICE", "strides must be 1"),
    ("mean of 3 channels", "MEAN", "3 channels"),
    ("joins ones", "CONCATENATION", "joins a constant"),
    ("slope per pixel", "PRELU", "shared_axes"),
    ("batch of 2", "CONV_2D", "2x8x8x"),
    ("batch of 2", "QUANTIZE", "use batch 1"),
    ("argmax", "ARG_MAX", "int"),
)


@pytest.mark.parametrize(("name", "operator", "words"), UNFRIENDLY)
def test_each_unfriendly_operator_is_named_with_its_reason(content, name, operator, words):
    placed = edgetpu.placement(content(name))
    assert words in reason(placed, operator), placed.frame().to_string()
    assert not placed.refusal
    assert all(bool(row.reason) == (row.where == "CPU") for row in placed.operators)


def test_what_comes_after_the_first_culprit_stays_with_it_named(content):
    placed = edgetpu.placement(content("leaky"))
    assert where(placed, "CONV_2D") == ["Edge TPU", "CPU"]
    culprit = next(row for row in placed.operators if row.operator == "LEAKY_RELU")
    after = [row for row in placed.operators if row.index > culprit.index and row.operator == "CONV_2D"]
    assert f"comes after LEAKY_RELU ({culprit.index})" in after[0].reason
    assert all("LEAKY_RELU" in row.reason for row in placed.operators if row.index > culprit.index)


def test_only_the_branch_with_the_culprit_is_lost(content):
    """Downstream, not later in the file: the other branch stays on the Edge TPU."""
    placed = edgetpu.placement(content("two branches"))
    assert sorted(where(placed, "CONV_2D")) == ["CPU", "Edge TPU", "Edge TPU", "Edge TPU"]


def test_a_float_operator_in_the_middle_splits_the_model(content):
    """Published for compiler 16: of Dense, Dense, SIN, Dense these stay on the CPU."""
    placed = edgetpu.placement(content("sine"))
    left = [row.operator for row in placed.on_cpu]
    assert left[:4] == ["DEQUANTIZE", "SIN", "QUANTIZE", "FULLY_CONNECTED"]
    assert where(placed, "FULLY_CONNECTED") == ["Edge TPU", "Edge TPU", "CPU"]


def test_what_the_table_leaves_open_is_said(content):
    doubts = {row.operator: row.doubt for row in edgetpu.placement(content("transpose conv")).mapped}
    assert "both sides" in doubts["TRANSPOSE_CONV"]
    assert not doubts["CONV_2D"]
    assert any("inferred" in row.doubt for row in edgetpu.placement(content("resize 4")).mapped)


def test_weights_on_the_edge_tpu_are_counted(content):
    found = graph.read(content("friendly"))
    assert edgetpu.placement(content("friendly")).weight_bytes == found.weight_bytes
    assert edgetpu.placement(content("float")).weight_bytes == 0
    assert 0 < edgetpu.placement(content("leaky")).weight_bytes < graph.read(content("leaky")).weight_bytes


def test_summary_is_what_every_target_tells(content):
    summary = edgetpu.placement(content("float io")).summary
    assert (summary.total - summary.accelerated, len(summary.reasons)) == (2, 2)
    assert summary.reasons[0][0] == "QUANTIZE (0)"


def test_every_rule_in_the_table_exists_and_is_used():
    named = {rule for row in edgetpu_rules.table().values() for rule in row["rules"].split()}
    assert named == set(edgetpu_rules.RULES)
    assert all(row["source"] for row in edgetpu_rules.table().values())
    assert set(edgetpu_rules.table()) <= set(graph.BUILTIN_OPERATORS.values())


def test_operator_versions_after_the_compiler_are_refused():
    def operator(name, version):
        return graph.Operator(0, name, version, (), (), 0, {}, False)

    assert not edgetpu_rules.too_new(operator("CONV_2D", 5))
    assert "TensorFlow 2.9" in edgetpu_rules.too_new(operator("CONV_2D", 6))
    assert "TensorFlow 2.7" in edgetpu_rules.too_new(operator("QUANTIZE", 3))
    assert "TensorFlow 2.21" in edgetpu_rules.too_new(operator("FULLY_CONNECTED", 99))


def test_files_that_are_no_models_give_an_error(tmp_path, content):
    with pytest.raises(ModelError):
        edgetpu.placement(b"rubbish")
    with pytest.raises(ModelError):
        edgetpu.placement(tmp_path / "missing.tflite")
    with pytest.raises(ModelError, match="compiled for the Edge TPU already"):
        edgetpu.placement(as_compiled(content("friendly"), 2))


def test_an_operator_without_its_inputs_is_damage(content):
    model = schema.ModelT.InitFromPackedBuf(bytearray(content("softmax of pixels")), 0)
    for operator in model.subgraphs[0].operators:
        if operator.builtinOptionsType == schema.BuiltinOptions.SoftmaxOptions:
            operator.inputs = []
    with pytest.raises(ModelError, match="lacks what its kind needs"):
        edgetpu.placement(_packed(model))


def pair_rows(real_data: Path) -> list[dict[str, str]]:
    with (real_data / "edgetpu_pairs" / "expected.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def left_on_cpu(before: graph.Graph, after: graph.Graph) -> set[int]:
    """Which operators of `before` are still in the compiled file, found by the names of their outputs."""
    index_of = {
        before.tensors[i].name: operator.index for operator in before.operators for i in operator.outputs
    }
    assert len(index_of) == sum(len(operator.outputs) for operator in before.operators)
    return {
        index_of[after.tensors[operator.outputs[0]].name]
        for operator in after.operators
        if operator.name != edgetpu_rules.COMPILED_OPERATOR
    }


def test_agrees_with_every_published_pair_operator_by_operator(real_data):
    """Eleven models that Google published before and after its compiler: the same operators on the CPU."""
    folder = real_data / "edgetpu_pairs"
    rows = pair_rows(real_data)
    assert len(rows) == 11
    for row in rows:
        before = folder / Path(row["input"]).name
        placed = edgetpu.placement(before)
        expected = left_on_cpu(graph.read(before), graph.read(folder / Path(row["compiled"]).name))
        assert {operator.index for operator in placed.on_cpu} == expected, before.name
        assert len(placed.mapped) == int(row["ops_mapped"])
        assert all(operator.reason for operator in placed.on_cpu)
        assert not placed.refusal


# --- The compiler ---

ALL_MAPPED = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 31 ms.

Input model: model.tflite
Input size: 12.50KiB
Output model: model_edgetpu.tflite
Output size: 1.25MiB
On-chip memory used for caching model parameters: 604.50KiB
On-chip memory remaining for caching model parameters: 7.00MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: model_edgetpu.log
See the operation log file for individual operation details.
Compilation succeeded!
"""
OPERATORS = """Operator                       Count      Status

CONV_2D                        {mapped}          Mapped to Edge TPU
CONV_2D                        1          More than one subgraph is not supported
PosenetDecoderOp               1          Some reason that nobody has seen yet
"""


def test_log_with_everything_mapped_has_no_counts():
    log = edgetpu_log.parse(ALL_MAPPED.format(total=50))
    assert (log.version, log.total, log.mapped, log.operators) == ("16.0.384591198", 50, 50, ())
    assert log.sizes["parameters kept on the chip"] == 604.5 * 1024
    assert log.sizes["parameters streamed"] == 0
    assert log.sizes["output"] == 1.25 * 2**20
    assert not log.errors


def test_log_file_alone_counts_from_its_table():
    log = edgetpu_log.parse(OPERATORS.format(mapped=7))
    assert (log.total, log.mapped, log.version) == (9, 7, "")
    assert log.status_of("CONV_2D") == "More than one subgraph is not supported"
    assert log.status_of("PosenetDecoderOp") == "Some reason that nobody has seen yet"


def test_summary_and_table_joined_do_not_count_twice():
    text = OPERATORS.format(mapped=7)
    summary = ALL_MAPPED.format(total=9) + "Number of operations that will run on Edge TPU: 7\n"
    log = edgetpu_log.parse(summary + text + "\n" + text)
    assert (log.total, log.mapped, len(log.operators)) == (9, 7, 3)
    rows = log.rows()
    assert rows[0] == {"operator": "CONV_2D", "count": 7, "status": "Mapped to Edge TPU"}
    assert {"memory": "parameters streamed", "bytes": 0} in rows


@pytest.mark.parametrize(
    "text", ["", "\x00\xff rubbish", "Total number of operations: many", "Output size: 3 bananas"]
)
def test_rubbish_gives_an_empty_log(text):
    log = edgetpu_log.parse(text)
    assert log.total is None
    assert not log.sizes
    assert not log.rows()


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def as_compiled(model: bytes, mapped: int) -> bytes:
    """The file that the compiler makes of a chain: one custom operator for its first operators."""
    found = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    part = found.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = edgetpu_rules.COMPILED_OPERATOR, 1
    found.operatorCodes.append(code)
    custom = schema.OperatorT()
    custom.opcodeIndex = len(found.operatorCodes) - 1
    custom.inputs, custom.outputs = list(part.inputs), list(part.operators[mapped - 1].outputs)
    part.operators = [custom, *part.operators[mapped:]]
    return _packed(found)


on_posix = pytest.mark.skipif(os.name == "nt", reason="a script on PATH is started by its first line")


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts a program called edgetpu_compiler on PATH that runs these lines of Python."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(lines: str) -> None:
        path = folder / "edgetpu_compiler"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{textwrap.dedent(lines)}")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.fixture
def model_file(tmp_path, content):
    path = tmp_path / "leaky.tflite"
    path.write_bytes(content("leaky"))
    return path


def test_without_the_compiler_the_error_tells_the_placement(model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="not installed") as caught:
        targets.get("edgetpu").compile(model_file, tmp_path / "out.tflite")
    assert "By the published rules: " in caught.value.why
    assert "of 5 operators" in caught.value.why or "operators on the Edge TPU" in caught.value.why
    assert not (tmp_path / "out.tflite").exists()


@on_posix
def test_compiling_reads_placement_and_memory_from_what_was_made(tool, model_file, tmp_path, monkeypatch):
    expected = edgetpu.placement(model_file)
    made = tmp_path / "made"
    made.write_bytes(as_compiled(model_file.read_bytes(), len(expected.mapped)))
    tool(
        f"""
        if "--version" in sys.argv:
            sys.exit(print("Edge TPU Compiler version 16.0.384591198"))
        open("model_edgetpu.tflite", "wb").write(open({str(made)!r}, "rb").read())
        open("model_edgetpu.log", "w").write({OPERATORS.format(mapped=2)!r})
        open("litter", "w").write("left lying about")
        print({ALL_MAPPED.format(total=len(expected.operators))!r})
        """
    )
    monkeypatch.chdir(tmp_path)
    target = targets.get("edgetpu")
    assert target.settings == {"compiler": "Edge TPU Compiler version 16.0.384591198"}
    got = compiled(target, model_file)
    assert got.placement.accelerated == len(expected.mapped)
    assert got.placement.reasons == expected.summary.reasons
    assert {"memory": "parameters kept on the chip", "bytes": 619008} in got.log_rows
    assert got.path.read_bytes() == made.read_bytes()
    assert got.size_bytes == len(made.read_bytes())
    assert not list(tmp_path.glob("litter"))
    tool("print('Edge TPU Compiler version 16.0.384591198')")  # and makes no file: it must not be asked again
    assert compiled(target, model_file) == got


COMPILER_FAULTS = (
    ("print('Invalid model: m\\nModel not quantized'); sys.exit(1)", ModelError, "not quantized"),
    ("print('ERROR: a graph that has dynamic-sized tensors.'); sys.exit(1)", ModelError, "not fixed"),
    (
        "print(\"ERROR: Didn't find op for builtin opcode 'EXP' version '2'\"); sys.exit(1)",
        ModelError,
        "too new",
    ),
    ("print('Internal compiler error. Aborting!'); sys.exit(1)", TargetError, "broke on this model"),
    ("os.abort()", TargetError, "failed"),
    ("print('bananas')", TargetError, "failed"),
    ("open('model_edgetpu.tflite', 'w').write('rubbish')", TargetError, "no model"),
)


@on_posix
@pytest.mark.parametrize(("lines", "kind", "words"), COMPILER_FAULTS)
def test_a_compiler_that_fails_leaves_nothing_and_says_why(tool, model_file, tmp_path, lines, kind, words):
    tool(lines)
    with pytest.raises(kind, match=words) as caught:
        targets.get("edgetpu").compile(model_file, tmp_path / "out.tflite")
    assert caught.value.fix
    assert not (tmp_path / "out.tflite").exists()
    assert not list(tmp_path.glob(".*out.tflite"))


@on_posix
def test_a_compiler_that_hangs_is_ended(tool, model_file, tmp_path, monkeypatch):
    tool("time.sleep(600)")
    monkeypatch.setattr(edgetpu, "COMPILE_LIMIT_S", 1.0)
    with pytest.raises(TargetError, match="did not finish"):
        targets.get("edgetpu").compile(model_file, tmp_path / "out.tflite")
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not any(str(tmp_path / "bin" / "edgetpu_compiler") in line for line in running)


# --- The device ---


@pytest.fixture
def compiled_file(tmp_path, content):
    path = tmp_path / "friendly_edgetpu.tflite"
    path.write_bytes(as_compiled(content("friendly"), len(edgetpu.placement(content("friendly")).operators)))
    return path


@pytest.fixture(scope="module")
def build_library(tmp_path_factory):
    """Compiles C into a shared library."""
    if not shutil.which("gcc") or sys.platform != "linux":
        pytest.skip("needs gcc on Linux, to build a library that misbehaves")
    folder = tmp_path_factory.mktemp("libraries")

    def build(source: str | Path) -> str:
        path = Path(source) if isinstance(source, Path) else folder / "source.c"
        if isinstance(source, str):
            path.write_text(source)
        out = folder / f"lib{abs(hash(source))}.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(out), str(path)], check=True)
        return str(out)

    return build


@pytest.fixture
def target(build_library):
    return targets.get("edgetpu", library=build_library(FAKE_LIBRARY))


def _workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "edgetpu.worker" in " ".join(process.cmdline())
    ]


def test_a_model_that_is_not_compiled_is_not_run(model_file):
    with pytest.raises(ModelError, match="has not been compiled"):
        targets.get("edgetpu").open(model_file)


def test_a_compiled_model_without_the_library_says_how_to_get_it(compiled_file):
    with pytest.raises(TargetError, match="library cannot be loaded") as caught:
        targets.get("edgetpu", library="libnothing-of-that-name.so").open(compiled_file)
    assert "libedgetpu" in caught.value.fix
    assert not _workers()


def test_a_compiled_model_on_the_cpu_says_where_it_belongs(compiled_file):
    with pytest.raises(ModelError, match="cannot be run on the CPU") as caught:
        targets.get("cpu").open(compiled_file)
    assert "accelerator" in caught.value.fix


def test_another_library_is_told_from_the_right_one(compiled_file, build_library):
    wrong = build_library("int answer(void) { return 42; }")
    with pytest.raises(TargetError, match="is not the Edge TPU's library"):
        targets.get("edgetpu", library=wrong).open(compiled_file)
    with pytest.raises(TargetError, match="is not the Edge TPU's library"):
        targets.get("edgetpu", library=wrong).devices()


def test_a_library_without_a_device_says_what_may_hold_it(compiled_file, target, monkeypatch):
    monkeypatch.setenv("FAKE_REFUSE", "1")
    with pytest.raises(TargetError, match="No Edge TPU can be opened") as caught:
        target.open(compiled_file)
    assert "another program holds it" in caught.value.why
    assert "no device found" in caught.value.why
    assert not _workers()


def test_runs_and_closes_without_a_trace(compiled_file, target, content):
    with target.open(compiled_file) as session:
        assert (session.target, session.provenance, session.fault) == ("edgetpu", "measured", "")
        assert session.inputs[0].shape == (1, 8, 8, 3)
        assert session.runtime_version.endswith("fake 1")
        assert str(session.placement) == "1 of 1 operators"
        [output] = session.run(np.zeros((1, 8, 8, 3), np.uint8))
        assert output.shape == session.outputs[0].shape
        with pytest.raises(InputError):
            session.run(np.zeros((1, 9, 9, 3), np.uint8))
        folder = Path(session._folder.name)
        assert folder.exists()
    assert not folder.exists()
    assert not _workers()
    with pytest.raises(TargetError):
        session.run(np.zeros((1, 8, 8, 3), np.uint8))


def test_several_devices_are_listed_and_chosen(compiled_file, build_library, target):
    assert [device["name"] for device in target.devices()] == ["usb:0", "pci:0", "usb:1"]
    library = target.library
    for name in ("usb:1", ":0"):
        with targets.get("edgetpu", device=name, library=library).open(compiled_file) as session:
            assert name in session.device
    with pytest.raises(TargetError, match="No Edge TPU can be opened"):
        targets.get("edgetpu", device="pci:7", library=library).open(compiled_file)
    for name in ("usb1", "gpu:0", "0"):
        with pytest.raises(InputError):
            targets.get("edgetpu", device=name)


def test_unplugged_in_the_middle_is_an_error_and_the_kernel_lives(compiled_file, target, monkeypatch):
    """Google's library ends the process then; it is not this one."""
    monkeypatch.setenv("FAKE_UNPLUG", "3")
    image = np.zeros((1, 8, 8, 3), np.uint8)
    with target.open(compiled_file) as session:
        session.run(image)
        session.run(image)
        with pytest.raises(TargetError, match="The Edge TPU is gone") as caught:
            session.run(image)
        assert "USB transfer error" in caught.value.why
        assert "open the model again" in caught.value.fix
    assert not _workers()


def test_an_inference_that_fails_is_an_error(compiled_file, target, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "1")
    with target.open(compiled_file) as session, pytest.raises(TargetError, match="failed in an inference"):
        session.run(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_library_that_prints_is_heard_all_the_same(compiled_file, target, monkeypatch):
    monkeypatch.setenv("FAKE_NOISE", "1")
    with target.open(compiled_file) as session:
        session.run(np.zeros((1, 8, 8, 3), np.uint8))


def test_the_file_for_a_library_is_tried_under_this_systems_name_first():
    names = edgetpu_worker.library_names()
    assert set(names) == {"libedgetpu.so.1", "libedgetpu.1.dylib", "edgetpu.dll"}
    if sys.platform == "linux":
        assert names[0] == "libedgetpu.so.1"


def test_pypis_pycoral_is_told_from_googles(tmp_path, monkeypatch, compiled_file):
    package = tmp_path / "site" / "pycoral"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this must not be imported')")
    monkeypatch.syspath_prepend(package.parent)
    importlib.invalidate_caches()
    assert edgetpu.pycoral_state() == "unrelated"
    with pytest.raises(TargetError, match="PyCoral is not installed") as caught:
        targets.get("edgetpu", runtime="pycoral").open(compiled_file)
    assert "unrelated" in caught.value.why
    assert "unrelated" in targets.get("edgetpu").probe().detail
    (package / "utils").mkdir()
    (package / "utils" / "edgetpu.py").write_text("")
    assert edgetpu.pycoral_state() == "pycoral"


def test_probe_tells_what_is_missing():
    found = targets.get("edgetpu").probe()
    if not shutil.which("edgetpu_compiler"):
        assert not found.can_compile
        assert "edgetpu-compiler" in found.fix
    if not found.can_run:
        assert "libedgetpu" in found.fix or "plug" in found.fix or "driver" in found.fix
