import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from drawn_arrays import write_arrays
from shared_data import SHARED_DATA

MODELS = {"model.onnx", "model.tflite", "model_quantized_int8_io.tflite"}
RESULTS = MODELS | {"weights.pt", "settings.json", "history.csv", "labels.txt", "metrics.json", "deploy.json"}
SIZE_LIMIT_BYTES = 3_000_000_000
# the core libraries of TensorFlow (converter) and PyTorch (training)
LARGE_FILES = {"libtensorflow_cc.so.2", "libtorch_cpu.so"}
HELP_SECONDS = 3.0
# `docker stop` kills the process after 10 s
STOP_SECONDS, ONNX_SECONDS = 10.0, 5.0


@pytest.fixture(scope="session")
def image():
    name = os.environ.get("CONTAINER_IMAGE")
    if shutil.which("docker") and name:
        return name
    reason = "These tests need a container engine and an image. `make test-container` builds the image and runs them."
    return pytest.fail(reason) if os.environ.get("REQUIRE_CONTAINER") == "1" else pytest.skip(reason)


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    folder = write_arrays(tmp_path_factory.mktemp("arrays"), images=60, holdout=6)
    folder.chmod(0o755)
    return folder


@pytest.fixture
def writable_folder(tmp_path):
    tmp_path.chmod(0o777)
    return tmp_path


def command(image, *arguments, options=(), program=()):
    entrypoint = ("--entrypoint", program[0]) if program else ()
    return [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        *options,
        *entrypoint,
        image,
        *program[1:],
        *map(str, arguments),
    ]


def run(image, *arguments, options=(), program=(), expected=0):
    result = subprocess.run(
        command(image, *arguments, options=options, program=program),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == expected, result.stdout + result.stderr
    return result


def mount(host, inside, mode="rw"):
    return ["-v", f"{host}:{inside}:{mode}"]


def names(folder):
    return {path.name for path in folder.iterdir()}


def assert_readable_by_everyone(folder):
    for path in [folder, *folder.rglob("*")]:
        wanted = 0o555 if path.is_dir() else 0o444
        assert path.stat().st_mode & wanted == wanted, path


def test_help_is_quick(image):
    run(image, "--help")
    start = time.monotonic()
    result = run(image, "--help")
    assert time.monotonic() - start < HELP_SECONDS
    assert "--data-directory" in result.stdout


def test_image_has_no_unneeded_large_files_or_compilers(image):
    size = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", image], capture_output=True, text=True, check=True
    )
    assert int(size.stdout) < SIZE_LIMIT_BYTES
    script = "find / -xdev -type f -size +100000k; command -v gcc cc g++ clang make; exit 0"
    found = run(image, script, program=["sh", "-c"]).stdout.split()
    assert {Path(path).name for path in found} <= LARGE_FILES


def test_image_has_labels(image):
    shown = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True)
    labels = json.loads(shown.stdout)[0]["Config"]["Labels"]
    assert {
        f"org.opencontainers.image.{name}" for name in ("version", "licenses", "source", "revision")
    } <= labels.keys()


def test_studio_run_with_all_restrictions(image, arrays, writable_folder):
    options = ["--read-only", "--tmpfs", "/tmp", "--shm-size", "1m", "--user", "1234:1234"]
    studio = [
        *("--data-directory", "/data", "--out-directory", "/mounted/not/yet/there"),
        *("--info-file", "/data/train_input.json", "--epochs", 3, "--learning-rate", 0.003, "--width", 0.35),
        *("--augment", 1, "--pretrained", 1, "--library-name", "squares", "--batch-size", 20, "--cut", "auto"),
        *("--seed", 1, "--input-shape", "(48, 48, 3)"),
    ]
    result = run(image, *studio, options=[*options, *mount(arrays, "/data", "ro"), *mount(writable_folder, "/mounted")])
    out = writable_folder / "not" / "yet" / "there"
    assert names(out) >= RESULTS
    assert_readable_by_everyone(writable_folder / "not")
    assert {path.stat().st_uid for path in out.iterdir()} == {1234}
    assert result.stderr == ""
    assert "not options of this block: --input-shape" in result.stdout
    assert names(writable_folder) == {"not"}
    assert set(json.loads((out / "metrics.json").read_text())["scores"]) == {"holdout"}
    assert {"squares.zip", "report.html"} <= names(out)
    model = "/mounted/not/yet/there/model_quantized_int8_io.tflite"
    inspecting = ["python3", "-m", "esp32_deploy", "inspect", model]
    shown = run(image, options=mount(writable_folder, "/mounted"), program=inspecting).stdout
    assert "depthwise" in shown
    assert "TensorFlow Lite Micro needs an arena" in shown


def test_demo_is_drawn_and_trained_on(image, writable_folder):
    photos, out = writable_folder / "photos", writable_folder / "out"
    photos.mkdir()
    out.mkdir()
    drawing = ["python3", "-m", "block", "demo", "--out", "/photos", "--photos", "5", "--test-photos", "2"]
    run(image, options=mount(photos, "/photos"), program=drawing)
    training = ["--data-directory", "/photos", "--out-directory", "/out", "--labels-from", "name", "--epochs", 1]
    run(image, *training, options=[*mount(photos, "/photos", "ro"), *mount(out, "/out")])
    assert names(out) >= RESULTS | {"prepared"}
    assert_readable_by_everyone(out)
    assert (out / "labels.txt").read_text().split() == ["apple", "banana", "orange"]


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="shared/data with real photos does not exist beside the project")
def test_training_on_real_photos(image, tmp_path):
    training = ["--data-directory", "/photos", "--out-directory", "/out", "--labels-from", "name", "--epochs", 2]
    result = run(image, *training, options=[*mount(SHARED_DATA / "fruit", "/photos", "ro"), *mount(tmp_path, "/out")])
    assert names(tmp_path) >= RESULTS | {"prepared"}
    assert "[3/" in result.stdout


def test_docker_stop_keeps_the_best_epoch_and_convert_finishes_the_run(image, arrays, tmp_path):
    mounts = [*mount(arrays, "/data", "ro"), *mount(tmp_path, "/out")]
    training = ["--data-directory", "/data", "--out-directory", "/out", "--epochs", 100_000, "--pretrained", 0]
    process = subprocess.Popen(command(image, *training, options=mounts), stdout=subprocess.PIPE, text=True)
    # the first epoch is always marked as the best so far
    next(line for line in process.stdout if line.startswith("*   1/"))
    # the docker client forwards the signal; `docker stop` sends the same signal
    process.send_signal(signal.SIGTERM)
    start = time.time()
    output, _ = process.communicate(timeout=60)
    assert time.time() - start < STOP_SECONDS
    assert process.returncode == 143
    assert names(tmp_path) == {"weights.pt", "model.onnx", "settings.json", "history.csv"}
    assert (tmp_path / "model.onnx").stat().st_mtime - start < ONNX_SECONDS
    assert output.splitlines()[-3:] == [
        "Files in /out: weights.pt, model.onnx",
        "To finish the run: python3 -m block convert /out",
        "Stopped by SIGTERM.",
    ]
    run(image, options=mounts, program=["python3", "-m", "block", "convert", "/out"])
    assert names(tmp_path) >= RESULTS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--read-only"], "Cannot write to /out"),
        (["--tmpfs", "/out:size=2m"], "/out has 1 MB of free space, but a run needs 50 MB"),
    ],
)
def test_output_folder_without_space_is_refused_before_training(image, arrays, options, words):
    start = ["--data-directory", "/data", "--out-directory", "/out"]
    result = run(image, *start, options=[*options, *mount(arrays, "/data", "ro")], expected=1)
    assert words in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""
