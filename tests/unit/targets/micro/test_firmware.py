"""A model as C source."""

import re
import shutil
import subprocess

import pytest

from edgelab import graph
from edgelab.errors import InputError, ModelError
from edgelab.targets.micro import firmware


def test_the_c_array_is_the_model(int8_path, tmp_path):
    made = firmware.c_array(int8_path, tmp_path / "firmware", "my_model")
    source = made.source.read_text(encoding="ascii")
    data = bytes(int(byte, 16) for byte in re.findall(r"0x(\w\w)", source))
    assert data == int8_path.read_bytes() and made.size_bytes == len(data)
    assert "const unsigned char my_model[]" in source and f"my_model_len = {len(data)}u;" in source
    assert made.header.read_text(encoding="ascii").startswith("#ifndef MY_MODEL_H_")
    for name in ("2fast", "a-b", "", "größe"):
        with pytest.raises(InputError, match="C array"):
            firmware.c_array(int8_path, tmp_path, name)
    (tmp_path / "no_model").write_bytes(b"text")
    with pytest.raises(ModelError):
        firmware.c_array(tmp_path / "no_model", tmp_path)


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_a_compiler_takes_the_c_array_without_a_warning(int8_path, tmp_path):
    made = firmware.c_array(int8_path, tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "model_data.h"\n#include "model_data.h"\n#include <stdint.h>\n#include <stdio.h>\n'
        "int main(void) {\n  if ((uintptr_t)model_data % 16) return 1;\n"
        "  return fwrite(model_data, 1, model_data_len, stdout) != model_data_len;\n}\n"
    )
    gcc = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([*gcc, "main.c", made.source.name, "-o", "firmware"], cwd=tmp_path, check=True)
    run = subprocess.run([tmp_path / "firmware"], capture_output=True, check=True)
    assert run.stdout == int8_path.read_bytes()
    if shutil.which("nm"):
        symbols = subprocess.run(["nm", tmp_path / "firmware"], capture_output=True, text=True, check=True)
        assert re.search(r" R model_data$", symbols.stdout, re.MULTILINE), "not among the read-only data"
    if shutil.which("g++"):
        (tmp_path / "main.cc").write_text(
            '#include "model_data.h"\nint main() { return model_data[0] == 0; }\n'
        )
        subprocess.run(["g++", "-Wall", "-Werror", "-c", "main.cc"], cwd=tmp_path, check=True)


def test_the_resolver_lists_each_operator_once(int8_path, many_kinds):
    text = firmware.op_resolver(int8_path)
    kinds = graph.read(int8_path).operator_counts
    assert f"MicroMutableOpResolver<{len(kinds)}>" in text and text.count("resolver.Add") == len(kinds)
    assert "resolver.AddConv2D();" in text and "resolver.AddDepthwiseConv2D();" in text
    names = {name: firmware.resolver_name(name) for name in graph.read(many_kinds).operator_counts}
    assert names["AVERAGE_POOL_2D"] == "AveragePool2D" and names["BATCH_MATMUL"] == "BatchMatMul"
    assert names["LEAKY_RELU"] == "LeakyRelu" and names["TRANSPOSE_CONV"] == "TransposeConv"
    assert firmware.resolver_name("ethos-u") == "EthosU"
