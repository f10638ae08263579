import errno
import shutil
import tempfile
from types import SimpleNamespace

import pytest

from block.console import friendly_errors
from block.data import contract
from block.errors import BlockError


def test_full_output_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20 if folder == tmp_path else 2**40)
    )
    with pytest.raises(
        BlockError, match=r"has 1 MB of free space, but a run needs 50 MB\. Free some space, or choose another"
    ):
        contract.check_free_space(tmp_path)


def test_full_temporary_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**40 if folder == tmp_path else 2**20)
    )
    with pytest.raises(BlockError, match="set TMPDIR to another folder"):
        contract.check_free_space(tmp_path)


def test_missing_temporary_folder_is_refused(tmp_path, monkeypatch):
    def nowhere():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(BlockError, match="--tmpfs /tmp"):
        contract.check_free_space(tmp_path)


def test_disk_that_fills_up_gives_a_message_in_one_line(capsys):
    with pytest.raises(SystemExit), friendly_errors(debug=False):
        raise OSError(errno.ENOSPC, "No space left on device", "/out/prepared")
    assert capsys.readouterr().err == "Error: The disk is full (/out/prepared). Free some space and start again.\n"
