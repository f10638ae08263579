import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn_arrays import write_arrays
from test_learn import names

ROOT = Path(__file__).resolve().parents[1]
MODELS = {"model.onnx", "model.tflite", "model_quantized_int8_io.tflite"}
ENDLESS_EPOCHS = 100_000


def start(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-u", *program, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a shell lets background processes ignore Ctrl-C, and child processes inherit this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def stop_at(process, line_start, number=signal.SIGTERM):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(line_start):
            break
    else:
        pytest.fail(f"no line begins with {line_start!r}: {''.join(seen)}")
    process.send_signal(number)
    started = time.monotonic()
    rest, _ = process.communicate(timeout=60)
    return rest.splitlines(), time.monotonic() - started


def train(data, out, epochs=ENDLESS_EPOCHS, **environment):
    arguments = ["--data-directory", data, "--out-directory", out, "--epochs", epochs, "--pretrained", 0]
    return start(["train.py"], *arguments, **environment)


def test_sigterm_during_training_keeps_the_best_epoch(block_directory, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.tflite").write_text("of an earlier run")
    process = train(block_directory, out)
    lines, seconds = stop_at(process, "*   1/")
    assert process.returncode == 143
    assert seconds < 10
    assert names(out) == {"weights.pt", "model.onnx", "settings.json", "history.csv"}
    assert next(line for line in lines if "/100000" not in line) == "SIGTERM received: keeping the best epoch"
    assert lines[-3] == f"Files in {out}: weights.pt, model.onnx"
    assert lines[-2].startswith("To finish the run: ") and lines[-2].endswith(f"-m block convert {out}")
    assert lines[-1] == "Stopped by SIGTERM."


def test_sigterm_with_enough_time_exports_tflite_files(block_directory, tmp_path):
    process = train(block_directory, tmp_path / "out", BLOCK_STOP_SECONDS="120")
    lines, _ = stop_at(process, "*   1/")
    assert process.returncode == 143, lines
    assert names(tmp_path / "out") == MODELS | {"weights.pt", "settings.json", "history.csv"}


def test_sigterm_before_the_first_epoch_keeps_nothing(block_directory, tmp_path):
    process = train(block_directory, tmp_path / "out")
    lines, _ = stop_at(process, "  all")
    assert process.returncode == 143
    assert lines[-2:] == [
        "SIGTERM received before the end of the first epoch. There is nothing to keep.",
        "Stopped by SIGTERM.",
    ]
    assert names(tmp_path / "out") == set()


def test_sigterm_during_export_keeps_only_complete_files(block_directory, tmp_path):
    process = train(block_directory, tmp_path / "out", epochs=1)
    lines, seconds = stop_at(process, "[1/8] ONNX")
    assert process.returncode == 143
    assert seconds < 10
    assert names(tmp_path / "out") == {"weights.pt", "model.onnx", "settings.json", "history.csv"}
    assert "Stopped by SIGTERM." in lines


def test_ctrl_c_during_training_ends_at_once_and_names_the_files(block_directory, tmp_path):
    out = tmp_path / "out"
    process = train(block_directory, out)
    lines, seconds = stop_at(process, "*   1/", signal.SIGINT)
    assert process.returncode == 130
    assert seconds < 5
    assert names(out) == {"weights.pt", "settings.json", "history.csv"}
    said = [line for line in lines if "/100000" not in line]
    assert said[:2] == ["Interrupted: keeping the best epoch", f"Files in {out}: weights.pt"]
    assert said[2].startswith("To finish the run: ") and said[2].endswith(f"-m block convert {out}")
    assert said[3:] == ["Stopped by SIGINT."]


def test_ctrl_c_before_the_first_epoch_keeps_nothing(block_directory, tmp_path):
    process = train(block_directory, tmp_path / "out")
    lines, _ = stop_at(process, "  all", signal.SIGINT)
    assert process.returncode == 130
    assert lines[-2:] == [
        "Interrupted before the end of the first epoch. There is nothing to keep.",
        "Stopped by SIGINT.",
    ]


SWALLOWED = """
import time
from block.pipeline import stopping
with stopping.on_signals() as stop:
    stop.last_work = lambda: print("last work")
    try:
        print("ready")
        time.sleep(30)
    except:
        print("swallowed")
    time.sleep(30)
"""
ENDLESS = """
import time
from block.pipeline import stopping
with stopping.on_signals() as stop:
    stop.last_work = lambda: time.sleep(30)
    print("ready")
    time.sleep(30)
"""


def test_ignored_ctrl_c_stays_ignored():
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    process = start(["-c", ignore + ENDLESS.replace("sleep(30)", "sleep(1)")])
    lines, _ = stop_at(process, "ready", signal.SIGINT)
    assert (process.returncode, lines) == (0, [])


def test_signal_is_repeated_if_a_library_catches_the_exception():
    process = start(["-c", SWALLOWED])
    lines, seconds = stop_at(process, "ready")
    assert (process.returncode, lines) == (143, ["swallowed", "last work", "Stopped by SIGTERM."])
    assert seconds < 5


def test_last_work_is_cut_off_at_the_deadline_with_the_same_exit_code():
    process = start(["-c", ENDLESS], BLOCK_STOP_SECONDS="2")
    _, seconds = stop_at(process, "ready")
    assert process.returncode == 143
    assert seconds < 2


def test_invalid_grace_period_is_refused(tmp_path):
    process = train(write_arrays(tmp_path / "data"), tmp_path / "out", BLOCK_STOP_SECONDS="soon")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "Error: BLOCK_STOP_SECONDS=soon is not a number of seconds.\n")


def test_finished_run_receives_no_signal_later():
    program = """
import time
from block.pipeline import stopping
with stopping.on_signals():
    pass
time.sleep(3 * stopping.REPEAT_SECONDS)
print("still here")
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "still here\n")
