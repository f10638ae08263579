"""SIGTERM and Ctrl-C: a run stops, keeps its best epoch, prints what it kept and ends with exit code 143 or 130.

After SIGTERM, which `docker stop` sends, it exports as many models as the time allows. After Ctrl-C it ends at once.
The container runs Python as process 1. The kernel discards signals for which process 1 has no handler. Therefore a run
must install handlers.
"""

import _thread
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

REASONS = {signal.SIGTERM: "SIGTERM received", signal.SIGINT: "Interrupted"}
# `docker stop` kills the process after 10 s. Set the variable if `docker stop` has a longer time limit.
GRACE_VARIABLE, GRACE_SECONDS = "BLOCK_STOP_SECONDS", 10.0
# reserve of the grace period, so that the process ends by itself with its exit code before it is killed
RESERVE_SECONDS = 1.5
REPEAT_SECONDS = 0.5


class Stopped(BaseException):
    """A signal was received. It does not derive from Exception, so that no `except Exception` catches it."""


class Stop:
    """The state of stopping. `last_work` is what the run does after a signal and before the process ends."""

    def __init__(self, at_end: Callable[[], None] = lambda: None) -> None:
        self.last_work: Callable[[], None] = self._nothing_to_keep
        self.at_end = at_end
        self.signal = signal.SIGTERM
        self.received, self.unwound, self.done = threading.Event(), threading.Event(), threading.Event()
        self.deadline = math.inf
        self.grace_seconds = _grace_seconds()
        # The handler cannot start this thread: the signal may arrive while another thread is being started.
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def seconds_left(self) -> float:
        """Seconds until the run must end."""
        return self.deadline - time.monotonic()

    @property
    def is_ctrl_c(self) -> bool:
        """The signal is Ctrl-C: the user waits for the prompt, and the exports can be made later."""
        return self.signal == signal.SIGINT

    @property
    def reason(self) -> str:
        """The signal in words, for the console."""
        return REASONS[self.signal]

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler, in the main thread. It raises Stopped until the last work begins."""
        if self.unwound.is_set():
            return
        if not self.received.is_set():
            self.signal = signal.Signals(number)
            self.deadline = time.monotonic() + self.grace_seconds - RESERVE_SECONDS
            self.received.set()
        raise Stopped

    def _watch(self) -> None:
        self.received.wait()
        # A library's bare `except:` or a destructor may have caught Stopped. Therefore the signal is repeated.
        while self.seconds_left > 0 and not self.unwound.wait(REPEAT_SECONDS):
            interrupt_main_thread(self.signal)
        if not self.done.wait(max(0.0, self.seconds_left)):
            self.end_process()

    def end_process(self) -> NoReturn:
        """Ends the process without sys.exit: half-imported native libraries may crash when they are unloaded."""
        self.at_end()
        os._exit(128 + self.signal)

    def _nothing_to_keep(self) -> None:
        say(f"{self.reason} before the end of the first epoch. There is nothing to keep.")


def interrupt_main_thread(number: signal.Signals) -> None:
    """Sends a signal to the main thread. On Windows it takes effect when the thread's current call returns."""
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


@contextmanager
def on_signals(at_end: Callable[[], None] = lambda: None) -> Iterator[Stop]:
    """Stops the body at SIGTERM or Ctrl-C, does the last work, calls `at_end` and ends the process."""
    stop = Stop(at_end)
    # A shell starts background processes with Ctrl-C ignored. This is not changed.
    ignores_ctrl_c = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    handled = [signal.SIGTERM] if ignores_ctrl_c else list(REASONS)
    previous = {number: signal.signal(number, stop.on_signal) for number in handled}
    try:
        yield stop
    except BaseException:
        # any exception counts: native code may have replaced Stopped by an exception of its own
        if not stop.received.is_set():
            raise
        stop.unwound.set()
        try:
            stop.last_work()
        except Exception as error:
            warn(f"the last work after {stop.signal.name} failed: {type(error).__name__}: {error}")
        say(f"Stopped by {stop.signal.name}.")
        sys.stderr.flush()
        stop.end_process()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        # These end the watching thread. The order matters: if `received` is set and `unwound` is not, the thread
        # sends the signal again.
        stop.done.set()
        stop.unwound.set()
        stop.received.set()


def _grace_seconds() -> float:
    text = os.environ.get(GRACE_VARIABLE) or str(GRACE_SECONDS)
    try:
        return float(text)
    except ValueError:
        raise BlockError(f"{GRACE_VARIABLE}={text} is not a number of seconds.") from None
