import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_simulate import odd_sizes, write
from tiny_models import TinyModel, attentive_grid, mobilenet
from toolchains import toolchain

from esp32_deploy.__main__ import main
from esp32_deploy.compile import graph
from esp32_deploy.verify import simulate

ROOT = Path(__file__).resolve().parents[1]


def grid_of_squares():
    return mobilenet(0.35, 32, cut=4, is_grid=True)


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_inspect_shows_every_layer_and_the_memory(shared_data):
    result = invoke("inspect", shared_data / "models" / "classifier_035_96.tflite")
    assert result.exit_code == 0
    assert "    2  pointwise    48 x 48 x 48  884,736        576          1  3,136" in result.output
    assert "Rows need 13,756 bytes of RAM in 1 piece(s), the largest 13,756." in result.output
    assert "TensorFlow Lite Micro needs an arena of 151,168 bytes." in result.output


def test_inspect_works_without_an_arena_size_from_tflm(tmp_path):
    model = TinyModel((1, 6, 6, 3))
    model.convolution(0, 1, (3, 3), depthwise=True, bias=False)
    result = invoke("inspect", write(tmp_path, model))
    assert result.exit_code == 0, result.output
    assert "TensorFlow Lite Micro's arena is not known" in result.output


def test_inspect_prints_json(tmp_path):
    report = json.loads(invoke("inspect", write(tmp_path, odd_sizes()), "--json").output)
    assert report["input"]["shape"] == [13, 11, 3]
    buffers = report["input"]["bytes"] + sum(layer["bytes"] for layer in report["layers"])
    assert buffers <= report["ram_bytes"]


def test_inspect_lists_operators_and_the_reason_for_an_unstreamable_model(tmp_path):
    result = invoke("inspect", write(tmp_path, attentive_grid()))
    assert result.exit_code == 0, result.output
    assert "batch_matmul" in result.output
    assert "The model cannot be streamed: ADD (operator" in result.output
    assert "TensorFlow Lite Micro needs an arena of" in result.output
    assert "--runtime" not in result.output


def test_inspect_prints_json_for_an_unstreamable_model(tmp_path):
    report = json.loads(invoke("inspect", write(tmp_path, attentive_grid()), "--json").output)
    assert (report["input"]["shape"], report["output"]["shape"]) == ([32, 32, 3], [8, 8, 4])
    assert report["macs"] == sum(layer["macs"] for layer in report["layers"]) > 0
    assert "adds the constant plane" in report["refusal"]
    assert report["ram_bytes"] is None


def test_verify_refuses_an_unstreamable_model_with_the_reason(tmp_path):
    result = invoke("verify", write(tmp_path, attentive_grid()))
    assert result.exit_code == 1
    assert result.output.startswith("Error: The model cannot be streamed: ADD")
    assert "--runtime" not in result.output


def test_package_uses_the_interpreter_for_an_unstreamable_model(tmp_path):
    model, out = write(tmp_path, attentive_grid()), tmp_path / "finder.zip"
    result = invoke("package", model, "--labels", "a,b,c", "--out", out)
    assert result.exit_code == 0
    assert "The library uses TensorFlow Lite Micro's interpreter. The model cannot be streamed: ADD" in result.output
    result = invoke("package", model, "--labels", "a,b,c", "--out", out, "--runtime", "stream")
    assert result.exit_code == 1
    assert result.output.endswith("Only computed planes can be added. Package it with --runtime tflm instead.\n")


def test_verify_counts_identical_outputs(tmp_path):
    toolchain("host")
    result = invoke("verify", write(tmp_path, odd_sizes()), "--inputs", 5, "--json")
    report = json.loads(result.output)
    assert (report["identical"], report["inputs"], report["first_difference"]) == (5, 5, None)


@pytest.mark.parametrize("target", list(simulate.TARGETS))
def test_verify_names_the_packages_of_missing_tools_before_it_runs_anything(target, tmp_path, monkeypatch):
    monkeypatch.setattr(simulate.shutil, "which", lambda _: None)
    monkeypatch.setattr("esp32_deploy.verify.tflm.outputs", None)
    result = invoke("verify", write(tmp_path, odd_sizes()), "--target", target)
    assert result.exit_code == 1
    tools = simulate.TARGETS[target]
    assert result.output.startswith(f"Error: Target {target} lacks {tools.compiler} and {tools.size}")
    assert f"run: sudo apt-get install {tools.packages}. Or choose --target" in result.output


def test_the_page_about_verify_names_the_packages_of_every_target():
    page = (ROOT / "docs" / "streaming.md").read_text()
    for target in simulate.TARGETS.values():
        assert f"| `{target.name}` |" in page and f"`{target.install}`" in page


def test_verify_runs_photos_too(shared_data):
    toolchain("host")
    model = shared_data / "models" / "fomo_035_96.tflite"
    result = invoke("verify", model, "--inputs", 4, "--photos", shared_data / "fruit" / "test")
    assert result.exit_code == 0
    assert "identical         8" in result.output


def test_inspect_refuses_in_one_line(shared_data):
    result = invoke("inspect", shared_data / "seed" / "model.tflite")
    assert result.exit_code == 1
    assert result.output.startswith("Error: The model's input (1, 3, 224, 224) is laid out with the channels first")
    assert result.output.count("\n") == 1


def test_an_unexpected_error_is_marked_and_debug_shows_its_traceback(tmp_path, monkeypatch):
    def fails(*_):
        raise ValueError("too many\nvalues to unpack")

    model = write(tmp_path, odd_sizes())
    monkeypatch.setattr("esp32_deploy.__main__.compile_graph", fails)
    result = invoke("inspect", model)
    assert result.exit_code == 1
    assert result.output == "Error: ValueError: too many values to unpack (unexpected; --debug shows where)\n"
    assert "too many" in str(invoke("inspect", model, "--debug").exception)


def test_debug_keeps_the_exception_of_a_refusal(shared_data):
    result = invoke("inspect", shared_data / "seed" / "model.tflite", "--debug")
    assert isinstance(result.exception, graph.GraphError)


def test_package_makes_a_library_from_a_model_and_its_manifest(tmp_path):
    (tmp_path / "deploy.json").write_text('{"name": "finder", "labels": ["apple", "pear", "plum"]}')
    model = write(tmp_path, grid_of_squares())
    out = tmp_path / "library.zip"
    result = invoke("package", model, "--out", out, "--threshold", 0.7, "--decode", "fuse", "--board", "esp-eye")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Wrote {out}: 27 files")
    with zipfile.ZipFile(out) as archive:
        assert "least_score = 180" in archive.read("finder/src/finder.h").decode()
        assert "find_fused" in archive.read("finder/src/finder.cpp").decode()
        assert "#define BOARD_ESP_EYE" in archive.read("finder/examples/Camera/Camera.ino").decode()


def test_options_override_the_manifest(tmp_path):
    (tmp_path / "deploy.json").write_text('{"name": "finder", "labels": ["apple"], "resize": "fit"}')
    model, out = write(tmp_path, grid_of_squares()), tmp_path / "library.zip"
    result = invoke("package", model, "--out", out, "--name", "spotter2", "--labels", "a, b,c", "--resize", "squash")
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(out) as archive:
        known = json.loads(archive.read("spotter2/extras/deploy.json"))
    assert (known["labels"], known["resize"]) == (["a", "b", "c"], "squash")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "class"], "The library cannot be called 'class': C++ reserves that word."),
        (["--threshold", "7"], "threshold is 7.0. Choose more than 0 and at most 1, such as 0.6."),
        (["--labels", "a,b"], "There are 2 labels (a, b), but the model has 3 classes"),
    ],
)
def test_package_refuses_in_one_line(arguments, message, tmp_path):
    result = invoke("package", write(tmp_path, grid_of_squares()), "--labels", "a,b,c", *arguments)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {message}")
    assert result.output.count("\n") == 1


def test_package_refuses_samples_that_are_not_an_array(tmp_path):
    (tmp_path / "samples.npy").write_text("photos")
    model = write(tmp_path, grid_of_squares())
    result = invoke("package", model, "--labels", "a,b,c", "--samples", tmp_path / "samples.npy")
    assert "samples.npy cannot be read as a .npy file" in result.output
