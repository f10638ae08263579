import errno
import shutil
import tempfile
from types import SimpleNamespace

import pytest

from block.console import friendly_errors
from block.data import contract
from block.errors import BlockError


def test_a_full_disk_is_found_out_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20 if folder == tmp_path else 2**40)
    )
    with pytest.raises(BlockError, match=r"has 1 MB of free space, a run needs 50 MB: free some or choose another"):
        contract.check_free_space(tmp_path)


def test_a_full_temporary_folder_is_found_out_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**40 if folder == tmp_path else 2**20)
    )
    with pytest.raises(BlockError, match="set TMPDIR to another folder"):
        contract.check_free_space(tmp_path)


def test_a_missing_temporary_folder_is_found_out_at_once(tmp_path, monkeypatch):
    def nowhere():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(BlockError, match="--tmpfs /tmp"):
        contract.check_free_space(tmp_path)


def test_a_disk_that_fills_up_is_named_in_one_line(capsys):
    with pytest.raises(SystemExit), friendly_errors(debug=False):
        raise OSError(errno.ENOSPC, "No space left on device", "/out/prepared")
    assert (
        capsys.readouterr().err == "Error: No space is left on the disk (/out/prepared); free some and start again.\n"
    )
