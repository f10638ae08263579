"""SIGTERM, which `docker stop` sends: a run breaks off, keeps what it has and ends in time with exit code 143.

The container's first process is Python itself, and the kernel spares a first process every signal it does not handle.
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from block.console import say, warn
from block.errors import BlockError

EXIT_CODE = 128 + signal.SIGTERM
# docker stop kills after 10 s; whoever tells it to wait longer says so here too
GRACE_VARIABLE, GRACE_SECONDS = "BLOCK_STOP_SECONDS", 10.0
# kept back from the grace, so that the end comes with our exit code and not with a kill
RESERVE_SECONDS = 1.5
REPEAT_SECONDS = 0.5


class Stopped(BaseException):
    """SIGTERM came; not an Exception, so that nothing that tolerates errors goes on working."""


class Stop:
    """What is known of SIGTERM; `last_work` is what a run still wants to do when it has come."""

    def __init__(self) -> None:
        self.last_work: Callable[[], None] = nothing_to_keep
        self.came, self.unwound, self.over = threading.Event(), threading.Event(), threading.Event()
        self.deadline = math.inf
        self.grace_seconds = _grace_seconds()
        # started now and not when the signal comes: that may be in the middle of another thread's start
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def seconds_left(self) -> float:
        """How long the run may still work."""
        return self.deadline - time.monotonic()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler, in the main thread: raises Stopped until the run has come to its last work."""
        if self.unwound.is_set():
            return
        if not self.came.is_set():
            self.deadline = time.monotonic() + self.grace_seconds - RESERVE_SECONDS
            self.came.set()
        raise Stopped

    def _watch(self) -> None:
        self.came.wait()
        # a library's bare `except:` or a destructor may have swallowed the exception
        while self.seconds_left > 0 and not self.unwound.wait(REPEAT_SECONDS):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self.over.wait(max(0.0, self.seconds_left)):
            os._exit(EXIT_CODE)


def nothing_to_keep() -> None:
    """The last work of a run that has not learned anything yet."""
    say("SIGTERM came before the first epoch was finished: there is nothing to keep.")


@contextmanager
def on_sigterm() -> Iterator[Stop]:
    """Breaks the body off when SIGTERM comes, does its last work, and ends the process."""
    stop = Stop()
    previous = signal.signal(signal.SIGTERM, stop.on_signal)
    try:
        yield stop
    except BaseException:
        # native code may have turned Stopped into an exception of its own
        if not stop.came.is_set():
            raise
        stop.unwound.set()
        try:
            stop.last_work()
        except Exception as error:
            warn(f"what was left to do after SIGTERM failed: {type(error).__name__}: {error}")
        say("Stopped by SIGTERM.")
        # not by way of sys.exit: half-imported native libraries may crash when they are unloaded
        sys.stderr.flush()
        os._exit(EXIT_CODE)
    finally:
        signal.signal(signal.SIGTERM, previous)
        # lets the watching thread end, and in this order: one that finds SIGTERM come but nothing unwound repeats it
        stop.over.set()
        stop.unwound.set()
        stop.came.set()


def _grace_seconds() -> float:
    text = os.environ.get(GRACE_VARIABLE) or str(GRACE_SECONDS)
    try:
        return float(text)
    except ValueError:
        raise BlockError(f"{GRACE_VARIABLE}={text} is not a number of seconds.") from None
