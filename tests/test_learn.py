import csv
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from drawn_arrays import CLASSES, write_arrays, write_box_arrays
from hidden_modules import run_without
from PIL import Image

from block import console, learn
from block.__main__ import block
from block.data import contract, reading
from block.errors import BlockError
from block.pipeline import checkpoint, fit
from block.pipeline.run import Run
from block.pipeline.stopping import Stop
from block.settings import PhotoSettings, Settings

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "deploy.json",
    "history.csv",
    "labels.txt",
    "metrics.json",
    "model.onnx",
    "model.tflite",
    "model_quantized_int8_io.tflite",
    "predictions.csv",
    "report.html",
    "settings.json",
    "vision_model.zip",
    "weights.pt",
}
MODELS = ("model.onnx", "model.tflite", "model_quantized_int8_io.tflite")
EPOCHS = 3


def train(*arguments):
    command = [sys.executable, "-u", str(ROOT / "train.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("arrays"), images=60, holdout=6)


@pytest.fixture(scope="session")
def finished(arrays, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "deep" / "out"
    result = train(
        "--data-directory", arrays, "--out-directory", out, "--epochs", EPOCHS, "--pretrained", 0, "--mystery", 7
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return out, result


def test_run_writes_exactly_its_files(finished):
    out, _ = finished
    assert names(out) == FILES


def test_run_prints_a_row_per_epoch_and_no_library_output(finished):
    _, result = finished
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "Warning: these arguments are ignored because they are not options of this block: --mystery, 7"
    assert sum(f"/{EPOCHS}  " in line for line in lines) == 2 * EPOCHS
    again = (
        "Training again for all epochs, on all 80 training and validation images. The 6 test images measure the result"
    )
    assert again in lines
    assert [line[:5] for line in lines if line.startswith("[")] == [f"[{n}/8]" for n in range(1, 9)]
    starts = (
        "Data",
        "Device",
        "Network",
        "Check",
        "Training",
        "* ",
        "  ",
        "Confidence",
        "[",
        "Warning",
        "On the board",
        "All results",
    )
    assert [line for line in lines if line and not line.startswith(starts)] == []
    assert "\r" not in result.stdout and "\x1b" not in result.stdout


def test_metrics_have_scores_of_every_runtime(finished):
    out, _ = finished
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["classes"] == CLASSES
    assert set(metrics["scores"]) == {"holdout"}
    assert metrics["training"]["splits"] == ["train", "validation"]
    for split in metrics["scores"].values():
        assert set(split) == {"torch", "onnx", "tflite_float32", "tflm_int8"}
        assert split["torch"]["loss"] == pytest.approx(split["tflite_float32"]["loss"], abs=1e-4)
    assert metrics["footprint"]["operators"] == [
        "ADD",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "MEAN",
        "RESHAPE",
        "SOFTMAX",
    ]
    assert metrics["files_bytes"] == {name: (out / name).stat().st_size for name in MODELS}
    assert 0 <= metrics["float32_against_int8"]["holdout"]["agreement"] <= 1


def test_deploy_json_has_the_facts_for_the_board(finished):
    out, _ = finished
    deploy = json.loads((out / "deploy.json").read_text())
    assert deploy["labels"] == CLASSES == (out / "labels.txt").read_text().split()
    assert (deploy["task"], deploy["colour"], deploy["figures"]["split"]) == ("classification", "rgb", "holdout")


def test_predictions_have_a_row_per_image_and_history_per_epoch(finished):
    out, _ = finished
    with (out / "predictions.csv").open(newline="") as file:
        predictions = list(csv.DictReader(file))
    assert [row["split"] for row in predictions] == ["holdout"] * 6
    metrics = json.loads((out / "metrics.json").read_text())
    accuracy = np.mean([row["label"] == row["int8_label"] for row in predictions])
    assert accuracy == pytest.approx(metrics["scores"]["holdout"]["tflm_int8"]["accuracy"])
    with (out / "history.csv").open(newline="") as file:
        assert [row["number"] for row in csv.DictReader(file)] == [str(number + 1) for number in range(EPOCHS)]


def test_onnx_model_is_as_studio_expects(finished):
    import onnx

    model = onnx.load(finished[0] / "model.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    (image,), (probabilities,) = model.graph.input, model.graph.output
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 3, 48, 48]
    assert [d.dim_value for d in probabilities.type.tensor_type.shape.dim] == [1, 3]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert model.graph.node[-1].op_type == "Softmax"


def test_runtimes_agree_and_int8_input_is_pixel_minus_128(finished, arrays):
    from block.export import runtimes
    from esp32_deploy.compile import graph

    out, _ = finished
    images = np.load(arrays / "X_split_train.npy")
    onnx, tflite = (
        runtimes.onnx_predict(out / MODELS[0])(images),
        runtimes.tflite_float32_predict(out / MODELS[1])(images),
    )
    int8 = runtimes.tflm_predict(out / MODELS[2])(images)
    assert np.abs(onnx - tflite).max() < 1e-4
    assert np.abs(int8 - tflite).mean() < 0.05
    image = graph.read(out / MODELS[2]).inputs[0]
    assert image.scales == pytest.approx((1 / 255,)) and image.zero_points == (-128,)


def test_int8_probabilities_equal_tensorflow_lite_reference_kernels(finished, arrays):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from block.export import runtimes
    from esp32_deploy.pixels import int8_from_shares

    model = finished[0] / "model_quantized_int8_io.tflite"
    images = np.load(arrays / "X_split_test.npy")
    reference = Interpreter(str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    image, probabilities = reference.get_input_details()[0], reference.get_output_details()[0]
    expected = []
    for pixels in int8_from_shares(images):
        reference.set_tensor(image["index"], pixels[np.newaxis])
        reference.invoke()
        expected.append(runtimes.dequantize(reference.get_tensor(probabilities["index"]), probabilities)[0])
    assert np.array_equal(runtimes.tflm_predict(model)(images), np.stack(expected))


def test_same_seed_and_convert_give_the_same_bytes(finished, arrays, tmp_path):
    out, _ = finished
    result = train("--data-directory", arrays, "--out-directory", tmp_path, "--epochs", EPOCHS, "--pretrained", 0)
    assert result.returncode == 0, result.stderr
    for name in MODELS:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name
    for name in FILES - {"weights.pt", "settings.json", "history.csv"}:
        (tmp_path / name).unlink()
    limit = sys.getrecursionlimit()
    converted = CliRunner().invoke(block, ["convert", str(tmp_path)])
    assert converted.exit_code == 0, converted.output
    # onnx2tf removes the limit; then an endless recursion kills the process
    assert sys.getrecursionlimit() == limit
    assert names(tmp_path) == FILES
    for name in MODELS:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_run_on_a_machine_without_tflm_has_the_same_models_and_int8_figures(finished, tmp_path):
    # as on macOS and Windows, for which tflite-micro has no wheel; Windows has no module resource either
    expected, _ = finished
    out = tmp_path / "out"
    out.mkdir()
    for name in ("weights.pt", "settings.json", "history.csv"):
        shutil.copy(expected / name, out)
    result = run_without(("tflite_micro", "resource"), tmp_path / "hidden", "-m", "block", "convert", out)
    assert result.returncode == 0, result.stderr
    assert "arena: not measured here" in result.stdout
    for name in (*MODELS, "predictions.csv"):
        assert (out / name).read_bytes() == (expected / name).read_bytes(), name
    metrics, before = (json.loads((folder / "metrics.json").read_text()) for folder in (out, expected))
    assert metrics["scores"] == before["scores"]
    assert metrics["footprint"]["tflm_arena_bytes"] is metrics["timings"]["peak_memory_mb"] is None
    assert metrics["footprint"]["stream"] == before["footprint"]["stream"]
    jsonschema.validate(metrics, json.loads((ROOT / "block/report/metrics.schema.json").read_text()))
    assert "was not measured here" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("epochs", "rate", "warns"),
    [
        (20, 0.001, True),
        (30, 0.001, True),
        (20, 0.003, False),
        (20, 0.01, False),
        (60, 0.001, False),
        (3, 0.006, False),
    ],
)
def test_low_learning_rate_with_few_epochs_is_told_with_the_remedy(capsys, epochs, rate, warns):
    fit.warn_of_low_learning_rate(epochs, rate)
    said = capsys.readouterr().out
    assert bool(said) == warns
    assert not warns or (f"--learning-rate {rate:g} is low" in said and "Try --learning-rate 0.01" in said)


def new_run(data, out, **choices):
    settings = Settings(data, out, **choices)
    outputs = contract.Outputs(out)
    return Run(settings, outputs, learn.read_data(settings, outputs), debug=False)


@pytest.mark.parametrize(
    ("write", "task", "labels"),
    [
        (write_arrays, "detection", "one class per image. They allow only classification."),
        (write_box_arrays, "classification", "boxes around objects. They allow only detection."),
    ],
)
def test_task_that_does_not_fit_the_labels_is_refused(tmp_path, write, task, labels):
    arguments = ["--data-directory", write(tmp_path), "--out-directory", tmp_path / "out", "--task", task]
    result = train(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    start = f"Error: --task {task}: the labels of the arrays in {tmp_path} are {labels} Leave --task out, or name"
    assert result.stderr.startswith(start)


def test_task_that_fits_the_labels_is_accepted(block_directory, tmp_path):
    learn.refuse_another_task(new_run(block_directory, tmp_path / "out", photos=PhotoSettings(task="classification")))


def test_flags_without_effect_are_one_warning(block_directory, tmp_path, capsys):
    photos = PhotoSettings(size=160, resize="crop", colour="grayscale", labels_from="name")
    choices = {"attention": True, "decode": "fuse", "loss": "edge-impulse", "photos": photos}
    learn.warn_of_flags_without_effect(new_run(block_directory, tmp_path / "out", **choices))
    assert capsys.readouterr().out == (
        "Warning: these options have no effect on this data: --size, --resize, --colour, --labels-from (only for "
        "photos; this data is arrays); --attention, --decode, --loss (only for detection).\n"
    )


@pytest.mark.parametrize("parameters", ["parameters.json", "variants/fomo/parameters.json"])
def test_default_studio_parameters_give_no_warning(tmp_path, capsys, parameters):
    write = write_arrays if parameters == "parameters.json" else write_box_arrays
    items = json.loads((ROOT / parameters).read_text())["parameters"]
    choices = {item["param"].replace("-", "_"): item["value"] for item in items}
    run = new_run(write(tmp_path), tmp_path / "out", **choices | {"width": float(choices["width"])})
    learn.refuse_another_task(run)
    learn.warn_of_flags_without_effect(run)
    assert capsys.readouterr().out == ""


def test_detection_flags_without_effect_on_photos_are_one_warning(tmp_path, capsys):
    photos = photo_folder(tmp_path / "photos")
    run = new_run(photos, tmp_path / "out", attention=True, photos=PhotoSettings(size=48))
    capsys.readouterr()
    learn.warn_of_flags_without_effect(run)
    warning = "Warning: these options have no effect on this data: --attention (only for detection).\n"
    assert capsys.readouterr().out == warning


def test_convert_and_report_on_flat_arrays_need_no_info_file(tmp_path):
    data, info = write_arrays(tmp_path / "data", inputShapeString="(48, 48, 3)"), tmp_path / "info.json"
    (data / "train_input.json").rename(info)
    for path in data.glob("X_*.npy"):
        features = np.load(path)
        np.save(path, features.reshape(len(features), -1))
    out = tmp_path / "out"
    arguments = ["--epochs", 1, "--pretrained", 0, "--info-file", info]
    result = train("--data-directory", data, "--out-directory", out, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    info.unlink()
    for name in ("model.onnx", "report.html"):
        (out / name).unlink()
    converted = CliRunner().invoke(block, ["convert", str(out)])
    assert converted.exit_code == 0, converted.output
    assert names(out) == FILES and "Warning: all results except" not in converted.output
    (out / "report.html").unlink()
    reported = CliRunner().invoke(block, ["report", str(out), "--data-directory", str(data)])
    assert reported.exit_code == 0, reported.output
    assert "report.html" in names(out)


def test_convert_refuses_arrays_of_another_size(finished, tmp_path):
    other = write_arrays(tmp_path / "other", size=56)
    result = CliRunner().invoke(block, ["convert", str(finished[0]), "--data-directory", str(other)])
    assert result.exit_code == 1
    assert "trained for size 48, but the arrays in" in result.output


def test_convert_without_a_run_names_the_missing_file(tmp_path):
    result = CliRunner().invoke(block, ["convert", str(tmp_path)])
    assert result.exit_code == 1
    missing = tmp_path / "settings.json"
    assert (
        result.output == f"Error: {missing} does not exist. Name the output folder of a run that finished an epoch.\n"
    )


def test_convert_names_fields_missing_from_old_settings(finished, tmp_path):
    noted = json.loads((finished[0] / "settings.json").read_text())
    del noted["task"], noted["size"]
    (tmp_path / "settings.json").write_text(json.dumps(noted))
    result = CliRunner().invoke(block, ["convert", str(tmp_path)])
    assert result.exit_code == 1
    assert "settings.json lacks size, task. An earlier version" in result.output


def test_convert_refuses_weights_of_another_version_and_deletes_nothing(finished, tmp_path):
    import torch

    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    content = torch.load(out / "weights.pt", weights_only=True)
    # the first version of the file named no format
    del content["format"]
    torch.save(content, out / "weights.pt")
    result = CliRunner().invoke(block, ["convert", str(out)])
    assert result.exit_code == 1
    assert "weights.pt was written by another version of this program. It has format 1," in result.output
    assert names(out) == FILES


def test_arrays_of_a_moved_run_are_found_or_requested(arrays, tmp_path):
    outputs = contract.Outputs(tmp_path)
    assert checkpoint.find_arrays(outputs, arrays, None) == arrays
    with pytest.raises(BlockError, match="Name their folder with --data-directory"):
        checkpoint.find_arrays(outputs, tmp_path / "gone", None)
    write_arrays(outputs.prepared)
    assert checkpoint.find_arrays(outputs, tmp_path / "gone", None) == outputs.prepared


class GivenLosses:
    """A task with given validation losses. It stores the outputs of the validated networks."""

    def __init__(self, task, losses):
        self.targets, self.loss, self.merit, self.keeps = task.targets, task.loss, task.merit, task.keeps
        self.score_name, self.losses, self.answers = "score", iter(losses), []

    def validate(self, outputs, _):
        self.answers.append(outputs)
        return next(self.losses), 0.5


def test_best_epoch_is_saved_and_older_models_are_deleted(arrays, tmp_path, monkeypatch):
    import torch

    for name in (*MODELS, "labels.txt"):
        (tmp_path / name).touch()
    run = new_run(arrays, tmp_path, epochs=3, pretrained=False)
    # with test images a second network would be trained
    run = replace(run, data=replace(run.data, holdout=None))
    network, _ = fit.start(run)
    task = GivenLosses(fit.training_task(run, network), [2.0, 1.0, 3.0])
    monkeypatch.setattr(fit, "training_task", lambda *_: task)
    fit.fit(run, fit.training_recipe(run, 0.0), Stop())
    assert names(tmp_path) == {"weights.pt", "settings.json", "history.csv"}
    kept, facts = checkpoint.load_weights(run)
    assert facts.training.epoch == 2
    images = torch.from_numpy(np.array(run.data.validation.features)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        answers = kept.eval()(images)
    assert [torch.allclose(answers, seen, atol=1e-4) for seen in task.answers] == [False, True, False]


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished[0], tmp_path / "out"))


def test_failed_scoring_is_a_warning_and_the_library_is_made(copied, monkeypatch, capsys):
    from block.measure import footprint
    from esp32_deploy import manifest

    def broken(_):
        raise OSError("no memory")

    for name in ("metrics.json", "deploy.json", "labels.txt", "report.html", "vision_model.zip"):
        (copied / name).unlink()
    monkeypatch.setattr(footprint, "measure", broken)
    learn.convert(copied)
    assert set(MODELS) <= names(copied) and names(copied).isdisjoint({"metrics.json", "report.html"})
    output = capsys.readouterr().out
    assert "scoring them failed: OSError: no memory" in output and output.count("Warning: ") == 1
    with zipfile.ZipFile(copied / "vision_model.zip") as library:
        content = library.read("vision_model/extras/deploy.json")
    (copied / "library.json").write_bytes(content)
    assert manifest.read(copied / "library.json").labels == tuple(CLASSES)


def test_weights_of_another_version_are_refused(copied):
    import torch

    content = torch.load(copied / "weights.pt", weights_only=True)
    torch.save({"state": content["state"], "facts": {"network": {}, "training": {}}}, copied / "weights.pt")
    with pytest.raises(BlockError, match=r"weights\.pt was .* It has format 1, and this version reads format 2"):
        learn.convert(copied)


def test_failed_summary_is_a_warning_and_keeps_all_files(copied, monkeypatch, capsys):
    from block.report import summary

    def broken(*_):
        raise ValueError("no words")

    monkeypatch.setattr(summary, "describe_results", broken)
    learn.convert(copied)
    assert names(copied) == FILES
    output = capsys.readouterr().out
    assert f"Warning: all results are in {copied}, but the summary failed: ValueError: no words" in output
    assert "scoring" not in output


def test_wrong_onnx_export_is_refused_before_training(arrays, tmp_path, monkeypatch):
    import torch

    from block.export import runtimes
    from block.pipeline import trial

    run = new_run(arrays, tmp_path, pretrained=False)
    network, _ = fit.start(run)
    monkeypatch.setattr(runtimes, "onnx_predict", lambda _: lambda images: np.zeros((len(images), 3)))
    with pytest.raises(BlockError, match="The network and its test export to ONNX differ by 0"):
        trial.check(run, network, fit.training_task(run, network), torch.device("cpu"))


def test_missing_imagenet_weights_are_one_warning(arrays, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BLOCK_WEIGHTS", str(tmp_path / "none"))
    settings = Settings(arrays, tmp_path)
    run = Run(settings, contract.Outputs(tmp_path), reading.read(arrays), debug=False)
    _, facts = fit.start(run)
    fit.report_start(run, facts)
    output = capsys.readouterr().out
    assert output.count("Warning") == 1
    assert "has no ImageNet weights for width 0.35" in output
    assert f"To download the weights: {console.command('-m', 'block', 'weights', '--width', 0.35)}\n" in output
    assert facts.pretrained is None


def photo_folder(folder):
    generator = np.random.default_rng(0)
    for kind, colour in {"leaf": (30, 160, 40), "rust": (170, 70, 20)}.items():
        (folder / kind).mkdir(parents=True)
        for number in range(10):
            noise = generator.integers(-30, 30, (60, 80, 3))
            Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(
                folder / kind / f"{number}.png"
            )
    return folder


def test_photo_folder_with_relative_paths_gives_all_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo_folder(tmp_path / "photos")
    photos, out = Path("photos"), Path("out")
    result = train(
        "--data-directory", photos, "--out-directory", out, "--epochs", 2, "--size", 48, "--colour", "grayscale",
        "--resize", "crop", "--cut", "block_6_expand",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert names(out) == FILES | {"prepared"}
    assert f"{photos} is a folder of photos. Writing its arrays to {out / 'prepared'}" in result.stdout
    deploy = json.loads((out / "deploy.json").read_text())
    assert (deploy["labels"], deploy["colour"], deploy["resize"]) == (["leaf", "rust"], "grayscale", "crop")
    converted = CliRunner().invoke(block, ["convert", "out"])
    assert converted.exit_code == 0, converted.output
    assert [row.split(",")[1].split("/")[0] for row in (out / "predictions.csv").read_text().split()[1:]] == [
        *["leaf"] * 2,
        *["rust"] * 2,
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data-directory", "nowhere"], "--data-directory nowhere is not a folder"),
        (["--data-directory", "empty"], "holds neither Studio's arrays (X_split_train.npy and the others) nor photos"),
        (["--data-directory", "data", "--epochs", "0"], "--epochs 0: choose 1 or more"),
        (["--data-directory", "data", "--info-file", "missing.json"], "missing.json does not exist"),
        (
            ["--data-directory", "data", "--out-directory", "data/train_input.json"],
            "Cannot write to data/train_input.json",
        ),
    ],
)
def test_error_is_one_line_and_exit_code_1(tmp_path, monkeypatch, arguments, words):
    from train import train as command

    monkeypatch.chdir(tmp_path)
    write_arrays(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(command, ["--out-directory", "out", *arguments])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_unexpected_error_is_one_line_unless_debug(block_directory, tmp_path, monkeypatch):
    from train import train as command

    def broken(*_arguments, **_options):
        raise KeyError("what\nis this")

    monkeypatch.setattr(learn, "run", broken)
    arguments = ["--data-directory", str(block_directory), "--out-directory", str(tmp_path / "out")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and "--debug shows where" in result.stderr
    assert isinstance(CliRunner().invoke(command, [*arguments, "--debug"]).exception, KeyError)


def test_training_deadline_reserves_time_for_export_and_scores(tmp_path):
    def deadline(limit):
        data = reading.read(write_arrays(tmp_path, size=96, maxTrainingTimeSeconds=limit))
        return fit.training_deadline(Run(Settings(tmp_path, tmp_path), None, data, debug=False), 0.0)

    assert deadline(1200) == deadline("1200") == pytest.approx(1200 - 90 - 0.25 * 0.35 * 10)
    assert deadline(60) == pytest.approx(18)
    assert deadline(None) is None


def test_help_imports_no_large_library():
    program = (
        "import sys; from click.testing import CliRunner; import train; CliRunner().invoke(train.train, ['--help']);"
        "print(sorted({'torch', 'tensorflow', 'onnx', 'torchvision', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"
