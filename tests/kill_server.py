"""Runs commands of the block in children of one process, so that each starts without importing the large libraries.

Started as a program, it reads jobs as JSON lines and answers with JSON lines. `KillServer` is the other side.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# the file operations of Python before which a run can kill itself, by the names of their audit events
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir")
WAIT_SECONDS = 300
# what a run imports, in its order
LIBRARIES = (
    *("block.learn", "block.model.training", "block.model.classification", "block.model.detection"),
    *("block.model.backbone", "block.export.convert", "block.export.rounding", "block.export.runtimes"),
    *("onnx", "onnxsim", "onnxruntime", "tensorflow", "tf_keras", "onnx2tf", "ai_edge_litert.interpreter"),
    *("tflite_micro.python.tflite_micro.runtime", "block.report.page", "esp32_deploy.arduino.library"),
)


class KillServer:
    """Starts commands. `run` waits for their end; `start` returns while they run."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self):
        self._process.stdin.close()
        self._process.wait(WAIT_SECONDS)

    def start(self, log, *arguments, folder=None, kill_at=None, fill_to=None):
        """Starts `train.py` or `python -m block` with `arguments` and returns its process number.

        `log` is the file for its output. The command kills itself before its file operation number `kill_at` in
        `folder`. `fill_to`: when it has found enough free space, the disk of `folder` is filled except for this many
        bytes.
        """
        job = {"log": str(log), "arguments": list(map(str, arguments)), "kill_at": kill_at, "fill_to": fill_to}
        return self._ask(job | {"folder": folder and str(folder)})["pid"]

    def wait(self, pid):
        """Waits for the end of a command. Returns its exit code: negative for the signal that killed it."""
        return self._ask({"wait": pid})["code"]

    def run(self, log, *arguments, **choices):
        return self.wait(self.start(log, *arguments, **choices))

    def _ask(self, job):
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve():
    sys.path.insert(0, str(ROOT))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import_libraries()
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            answer = {"code": os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1])}
        else:
            answer = {"pid": os.fork()}
            if answer["pid"] == 0:
                _run(job)
        print(json.dumps(answer), file=answers, flush=True)


def _import_libraries():
    # Only imports: threads of the libraries would not live on in the children.
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
    for name in LIBRARIES:
        import_module(name)


def _run(job):
    """The child: runs the command and ends the process."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    folder = job["folder"]
    if job["kill_at"] is not None:
        kill_at(job["kill_at"], folder)
    if job["fill_to"] is not None:
        _fill_after_check(Path(folder), job["fill_to"])
    code = 1
    try:
        _command(job["arguments"])
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def _command(arguments):
    import train
    from block.__main__ import block

    if arguments[0] == "train":
        train.train(arguments[1:])
    else:
        block(arguments)


def kill_at(number, folder):
    """Lets this process kill itself before its file operation `number` (from 0) in `folder`."""
    seen = 0

    def hook(event, details):
        nonlocal seen
        if event not in OPERATIONS or not str(details[0]).startswith(str(folder)):
            return
        if event == "open" and details[1] in (None, "r", "rb", "rt"):
            return
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    sys.addaudithook(hook)


def _fill_after_check(folder, left_bytes):
    from block.data import contract

    check = contract.check_free_space

    def check_and_fill(directory):
        check(directory)
        status = os.statvfs(folder)
        (folder / "filler").write_bytes(bytes(max(status.f_bavail * status.f_frsize - left_bytes, 0)))

    contract.check_free_space = check_and_fill


if __name__ == "__main__":
    _serve()
