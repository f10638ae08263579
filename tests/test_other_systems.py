import json
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
from hidden_modules import ROOT, run_without
from test_simulate import odd_sizes, write
from tiny_models import TinyModel, attentive_grid, mobilenet

from block.pipeline import stopping
from esp32_deploy.verify import litert, tflm

# tflite-micro has no wheel for macOS and Windows, and Windows has no module resource
MISSING = ("tflite_micro", "resource")


def without_tflm(tmp_path, *arguments):
    return run_without(MISSING, tmp_path / "hidden", "-m", *arguments)


def every_operator_but_fully_connected():
    model = TinyModel((1, 13, 11, 3))
    first = model.convolution(0, 6, (3, 3), (2, 2), activation="RELU6", output=(6 / 255, -128))
    narrow = model.convolution(model.convolution(model.convolution(first, 20), 1, (3, 3), depthwise=True), 6)
    pooled = model.pool("AVERAGE", model.add(first, narrow, "RELU"), (2, 2), (2, 2), "SAME")
    padded = model.pool("MAX", model.pad(pooled, (1, 1), (1, 1)), (2, 2), (1, 1))
    answer = model.mean(model.convolution(padded, 5), keep_dims=True)
    model.softmax(model.reshape(answer, (1, 5)))
    return model


def test_litert_and_tflm_give_the_same_bytes(tmp_path):
    models = [every_operator_but_fully_connected(), mobilenet(0.35, 32, cut=4), attentive_grid()]
    for number, model in enumerate(models):
        path = write(tmp_path, model)
        shape = (40, *model.tensors[0].shape[1:])
        images = np.random.default_rng(number).integers(-128, 128, shape, np.int8)
        assert np.array_equal(tflm.invoke(litert.Reference(path), images), tflm.invoke(tflm.load(path), images))


def test_verify_needs_no_tflm(tmp_path):
    model = write(tmp_path, every_operator_but_fully_connected())
    result = without_tflm(tmp_path, "esp32_deploy", "verify", model, "--target", "host", "--json")
    assert result.returncode == 0, result.stderr
    verified = json.loads(result.stdout)
    assert verified["identical"] == verified["inputs"] > 0


def test_operator_that_litert_rounds_differently_is_refused(tmp_path):
    # otherwise verify calls the compiler wrong, and a library's self-test fails on the board
    result = without_tflm(tmp_path, "esp32_deploy", "verify", write(tmp_path, odd_sizes()), "--target", "host")
    assert result.returncode == 1
    assert "LiteRT rounds FULLY_CONNECTED differently" in result.stderr and "Docker" in result.stderr


def test_inspect_tells_that_the_arena_is_not_known_without_tflm(tmp_path):
    result = without_tflm(tmp_path, "esp32_deploy", "inspect", write(tmp_path, odd_sizes()))
    assert "TensorFlow Lite Micro's arena is not known" in result.stdout
    assert "Rows need" in result.stdout


def test_streamed_library_is_the_same_without_tflm_but_for_the_arena(tmp_path):
    model = write(tmp_path, mobilenet(0.35, 32, cut=4))
    for how, hidden in {"with": (), "without": MISSING}.items():
        arguments = ("esp32_deploy", "package", model, "--labels", "a,b,c,d", "--out", tmp_path / f"{how}.zip")
        result = run_without(hidden, tmp_path / how, "-m", *arguments)
        assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(tmp_path / "with.zip") as one, zipfile.ZipFile(tmp_path / "without.zip") as other:
        assert one.namelist() == other.namelist()
        different = [name for name in one.namelist() if one.read(name) != other.read(name)]
        assert [name.split("/")[-1] for name in different] == ["README.md"]
        lines = set(one.read(different[0]).splitlines()) ^ set(other.read(different[0]).splitlines())
        assert [line.startswith(b"| RAM with the interpreter instead |") for line in lines] == [True]


def test_library_with_the_interpreter_is_refused_without_tflm(tmp_path):
    model = write(tmp_path, attentive_grid())
    result = without_tflm(tmp_path, "esp32_deploy", "package", model, "--labels", "a,b,c", "--out", tmp_path / "x.zip")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "tflite-micro, which is only made for Linux on x86-64" in result.stderr and "Docker" in result.stderr
    assert not (tmp_path / "x.zip").exists()


def test_tensorflow_can_be_imported_before_everything_else():
    # PyTorch for CUDA brings triton, which kills a process that has imported TensorFlow 2.21 before it
    program = (
        "from block.model.tensorflow_compat import import_tensorflow; import_tensorflow(); import torch\n"
        "from importlib.util import find_spec\n"
        "if find_spec('triton'): import triton\n"
        "print('alive')"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (result.returncode, result.stdout) == (0, "alive\n"), result.stderr


def test_main_thread_is_interrupted_on_windows_too(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    received = []
    previous = signal.signal(signal.SIGINT, lambda *_: received.append(threading.current_thread()))
    try:
        thread = threading.Thread(target=stopping.interrupt_main_thread, args=(signal.SIGINT,))
        thread.start()
        thread.join()
        deadline = time.monotonic() + 5
        while not received and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert received == [threading.main_thread()]
