import json

import keras_models
import pytest
from click.testing import CliRunner
from test_simulate import assert_inner_rows_equal_tflm
from toolchains import toolchain

from esp32_deploy.__main__ import main
from esp32_deploy.compile.compiler import compile_file

# For each network: the most bytes of its rows, and million instructions on rv32.
LIMITS = {"mobilenet_v1": (15_260, 28.5), "resnet": (16_880, 39), "keyword_spotter": (6_624, 11)}


@pytest.fixture(
    scope="session",
    params=[*((name, None) for name in LIMITS), ("keyword_spotter", 1)],
    ids=lambda param: f"{param[0]}-{'open' if param[1] is None else 'one'}",
)
def network(request, tmp_path_factory):
    """The path of a network's .tflite. Keras exports an open batch unless the input has a batch size."""
    name, batch = request.param
    path = tmp_path_factory.mktemp("keras") / f"{name}.tflite"
    path.write_bytes(keras_models.int8_model(getattr(keras_models, name), batch))
    return path


@pytest.mark.parametrize("target", ["host", "rv32"])
def test_networks_built_with_keras_give_identical_outputs(network, target):
    toolchain(target)
    result = CliRunner().invoke(main, ["verify", str(network), "--target", target, "--inputs", "20", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert (report["identical"], report["inputs"]) == (20, 20)
    assert report["distinct_outputs"] > 10
    if target == "rv32":
        assert report["instructions"] <= LIMITS[network.stem][1] * 1e6


def test_inner_rows_of_networks_built_with_keras_equal_tflm(network, tmp_path):
    toolchain("host")
    assert_inner_rows_equal_tflm(network, tmp_path)


def test_networks_built_with_keras_need_these_bytes(network):
    compiled = compile_file(network, "fruit")
    assert compiled.schedule.bytes == LIMITS[network.stem][0]
    # The average over the last plane is a sum per channel. A window would keep all rows.
    kinds = [layer.kind for layer in compiled.schedule.program.layers]
    assert (kinds.count("mean"), kinds.count("average_pool")) == (1, 0)
