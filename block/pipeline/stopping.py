"""SIGTERM and Ctrl-C: a run breaks off, keeps what it has, says so and ends with exit code 143 or 130.

After SIGTERM, which `docker stop` sends, it makes what it can in the time it has; after Ctrl-C it ends at once. The
container's first process is Python itself, and the kernel spares a first process every signal it does not handle.
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
from typing import NoReturn

from block.console import say, warn
from block.errors import BlockError

WORDS = {signal.SIGTERM: "SIGTERM came", signal.SIGINT: "Interrupted"}
# docker stop kills after 10 s; whoever tells it to wait longer says so here too
GRACE_VARIABLE, GRACE_SECONDS = "BLOCK_STOP_SECONDS", 10.0
# kept back from the grace, so that the end comes with our exit code and not with a kill
RESERVE_SECONDS = 1.5
REPEAT_SECONDS = 0.5


class Stopped(BaseException):
    """A signal came; not an Exception, so that nothing that tolerates errors goes on working."""


class Stop:
    """What is known of a signal; `last_work` is what a run still wants to do when one has come."""

    def __init__(self) -> None:
        self.last_work: Callable[[], None] = self._nothing_to_keep
        self.signal = signal.SIGTERM
        self.came, self.unwound, self.over = threading.Event(), threading.Event(), threading.Event()
        self.deadline = math.inf
        self.grace_seconds = _grace_seconds()
        # started now and not when the signal comes: that may be in the middle of another thread's start
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def seconds_left(self) -> float:
        """How long the run may still work."""
        return self.deadline - time.monotonic()

    @property
    def is_hurried(self) -> bool:
        """A person waits for the prompt, and what takes time can be made later."""
        return self.signal == signal.SIGINT

    @property
    def words(self) -> str:
        """What a person reads of the signal."""
        return WORDS[self.signal]

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler, in the main thread: raises Stopped until the run has come to its last work."""
        if self.unwound.is_set():
            return
        if not self.came.is_set():
            self.signal = signal.Signals(number)
            self.deadline = time.monotonic() + self.grace_seconds - RESERVE_SECONDS
            self.came.set()
        raise Stopped

    def _watch(self) -> None:
        self.came.wait()
        # a library's bare `except:` or a destructor may have swallowed the exception
        while self.seconds_left > 0 and not self.unwound.wait(REPEAT_SECONDS):
            signal.pthread_kill(threading.main_thread().ident or 0, self.signal)
        if not self.over.wait(max(0.0, self.seconds_left)):
            self.end_process()

    def end_process(self) -> NoReturn:
        """Ends it not by way of sys.exit: half-imported native libraries may crash when they are unloaded."""
        os._exit(128 + self.signal)

    def _nothing_to_keep(self) -> None:
        say(f"{self.words} before the first epoch was finished: there is nothing to keep.")


@contextmanager
def on_signals() -> Iterator[Stop]:
    """Breaks the body off when SIGTERM or Ctrl-C comes, does its last work, and ends the process."""
    stop = Stop()
    # a shell that starts a process in the background has it ignore Ctrl-C: so it stays
    ignores_ctrl_c = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    heeded = [signal.SIGTERM] if ignores_ctrl_c else list(WORDS)
    previous = {number: signal.signal(number, stop.on_signal) for number in heeded}
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
            warn(f"what was left to do after {stop.signal.name} failed: {type(error).__name__}: {error}")
        say(f"Stopped by {stop.signal.name}.")
        sys.stderr.flush()
        stop.end_process()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        # lets the watching thread end, and in this order: one that finds a signal come but nothing unwound repeats it
        stop.over.set()
        stop.unwound.set()
        stop.came.set()


def _grace_seconds() -> float:
    text = os.environ.get(GRACE_VARIABLE) or str(GRACE_SECONDS)
    try:
        return float(text)
    except ValueError:
        raise BlockError(f"{GRACE_VARIABLE}={text} is not a number of seconds.") from None
