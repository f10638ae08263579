import json

from click.testing import CliRunner
from conftest import toolchain
from test_simulate import odd_sizes, write

from esp32_deploy.__main__ import main


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_inspect_shows_every_layer_and_the_memory(shared_data):
    result = invoke("inspect", shared_data / "models" / "classifier_035_96.tflite")
    assert result.exit_code == 0
    assert "    2  pointwise    48 x 48 x 48  884,736        576          1  3,136" in result.output
    assert "Rows need 21,296 bytes of RAM in 1 piece(s), the largest 21,296." in result.output
    assert "TensorFlow Lite Micro needs an arena of 151,168 bytes." in result.output


def test_inspect_speaks_json(tmp_path):
    report = json.loads(invoke("inspect", write(tmp_path, odd_sizes()), "--json").output)
    assert report["input"]["shape"] == [13, 11, 3]
    buffers = report["input"]["bytes"] + sum(layer["bytes"] for layer in report["layers"])
    assert buffers <= report["ram_bytes"]


def test_verify_counts_identical_outputs(tmp_path):
    toolchain("host")
    result = invoke("verify", write(tmp_path, odd_sizes()), "--inputs", 5, "--json")
    report = json.loads(result.output)
    assert (report["identical"], report["inputs"], report["first_difference"]) == (5, 5, None)


def test_verify_runs_photos_as_the_board_sees_them(shared_data):
    toolchain("host")
    model = shared_data / "models" / "fomo_035_96.tflite"
    result = invoke("verify", model, "--inputs", 4, "--photos", shared_data / "fruit" / "test")
    assert result.exit_code == 0
    assert "identical         8" in result.output


def test_a_refusal_is_one_line(shared_data):
    result = invoke("inspect", shared_data / "seed" / "model.tflite")
    assert result.exit_code == 1
    assert result.output.startswith("Error: The model's input (1, 3, 224, 224) is laid out with the channels first")
    assert result.output.count("\n") == 1
