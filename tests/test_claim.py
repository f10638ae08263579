import errno
import fcntl
import os
import signal
import time

import pytest

from block.data.claim import claimed
from block.errors import BlockError


def hold(folder):
    """A child that holds the folder until it is killed."""
    child = os.fork()
    if child == 0:
        with claimed(folder):
            (folder / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (folder / "held").exists():
        time.sleep(0.01)
    (folder / "held").unlink()
    return child


def kill(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_second_run_is_refused_by_name_until_the_first_is_killed(tmp_path, capsys):
    child = hold(tmp_path)
    (tmp_path / ".model.onnx.part").touch()
    with pytest.raises(BlockError) as refusal, claimed(tmp_path):
        pass
    kill(child)
    start = f"Another run is writing to {tmp_path} (process {child} on {os.uname().nodename}, started 20"
    assert str(refusal.value).startswith(start)
    assert str(refusal.value).endswith("). Wait for its end, stop it, or choose another folder.")
    assert (tmp_path / ".model.onnx.part").exists()
    with claimed(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".running"]
        assert f"process {os.getpid()} on " in (tmp_path / ".running").read_text()
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    assert said.startswith(f"An earlier run in {tmp_path} was killed (process {child} on ")
    with claimed(tmp_path):
        pass
    assert capsys.readouterr().out == ""


def test_folder_is_free_after_an_error_and_after_release(tmp_path):
    with pytest.raises(RuntimeError), claimed(tmp_path):
        raise RuntimeError
    with claimed(tmp_path) as release:
        release()
        with claimed(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_file_that_the_first_run_removes_meanwhile_is_not_the_lock(tmp_path, monkeypatch):
    lock, children = fcntl.flock, []

    def late(file, operation):
        # Between opening and locking, the first run ends and a third begins.
        monkeypatch.setattr(fcntl, "flock", lock)
        (tmp_path / ".running").unlink()
        children.append(hold(tmp_path))
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(BlockError, match="Another run is writing"), claimed(tmp_path):
        pass
    kill(*children)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, capsys, code):
    def no_locks(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with claimed(tmp_path):
        pass
    assert capsys.readouterr().out == (
        f"Warning: {tmp_path} is on a file system without locks ({os.strerror(code)}). Make sure that no other run "
        "writes there at the same time.\n"
    )
    assert list(tmp_path.iterdir()) == []
