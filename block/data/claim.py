"""Lets one run at a time write into a folder, with a file that is locked while the run lives.

The kernel frees the lock when the process ends, even by SIGKILL. Therefore a lock is never stale.
"""

import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from block.console import say, warn
from block.errors import BlockError
from esp32_deploy.files import remove_temporary_files

FILE_NAME = ".running"
# Most file systems report EAGAIN for a lock that another process holds; some network file systems report EACCES.
HELD_ERRORS = (errno.EAGAIN, errno.EACCES)
WINDOWS_LOCK_POSITION = 2**30


@contextmanager
def claimed(directory: Path) -> Iterator[Callable[[], None]]:
    """Holds an existing folder for this process. Temporary files of a killed run are removed first.

    Yields a function that releases the folder early, for a process that ends without leaving the context.
    Raises BlockError with the other process if one holds the folder. If the file system has no locks, a warning says
    that a second run would not be noticed.
    """
    path = directory / FILE_NAME
    file = _locked(path, directory)

    def release() -> None:
        # The file is removed while it is locked. Otherwise it could be that of the next run.
        if file.closed:
            return
        if sys.platform == "win32":  # an open file cannot be removed there
            file.close()
        path.unlink(missing_ok=True)
        file.close()

    try:
        # The disk may be full of what the killed run left.
        remove_temporary_files(directory)
        _sign(file, directory)
        yield release
    finally:
        release()


def _sign(file: TextIO, directory: Path) -> None:
    """Writes into the file which process this is. Says so if a killed run has left the file."""
    before = file.read().strip()
    if before:
        say(f"An earlier run in {directory} was killed ({before}). If it still runs on another machine, stop it.")
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} on {socket.gethostname()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    file.flush()


def _locked(path: Path, directory: Path) -> TextIO:
    """Opens and locks the file. Its content is that of a killed run, or empty."""
    while True:
        file = path.open("a+", encoding="utf-8")
        file.seek(0)
        try:
            _lock(file)
        except OSError as error:
            if error.errno in HELD_ERRORS:
                _refuse(file, directory)
            warn(
                f"{directory} is on a file system without locks ({error.strerror}). Make sure that no other run "
                "writes there at the same time."
            )
            return file
        if _is_same_file(path, file):
            return file
        # The run that held the lock removed this file while it was being opened.
        file.close()


def _lock(file: TextIO) -> None:
    """Locks a file, or raises OSError at once."""
    if sys.platform == "win32":
        import msvcrt

        # A locked byte cannot be read by others. One far behind the text leaves the text readable.
        os.lseek(file.fileno(), WINDOWS_LOCK_POSITION, os.SEEK_SET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refuse(file: TextIO, directory: Path) -> None:
    with file:
        try:
            other = file.read().strip()
        except OSError:
            # Locks of some network file systems also prevent reading.
            other = ""
    raise BlockError(
        f"Another run is writing to {directory} ({other or 'process unknown'}). Wait for its end, stop it, or choose "
        "another folder."
    )


def _is_same_file(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
