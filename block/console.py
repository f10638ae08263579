"""Console output: progress bars on a terminal, plain lines elsewhere, and errors in one line.

Studio treats a silent job as dead. Therefore every step of more than ten seconds prints a heartbeat line.
"""

import errno
import os
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

import click

from block.errors import BlockError
from esp32_deploy.errors import DeployError, in_one_line, unexpected

T = TypeVar("T")

HEARTBEAT_SECONDS = 10.0
# shortest time between two updates of a progress line on a terminal
REDRAW_SECONDS = 0.1
BAR_CHARACTERS = 30
CLEAR_LINE = "\r\x1b[K"


class _Output:
    """The output stream, and the times of the last line and of the last progress line."""

    stream: TextIO | None = None  # None: the current sys.stdout
    last_line = time.monotonic()
    last_bar = 0.0
    has_bar = False


def say(text: str = "") -> None:
    """Prints a line and flushes it, so that a log is always up to date."""
    stream = _Output.stream or sys.stdout
    if _Output.has_bar:
        stream.write(CLEAR_LINE)
        _Output.has_bar = False
    click.echo(text, file=stream)
    stream.flush()
    _Output.last_line = time.monotonic()


def print_heartbeat(text: str) -> None:
    """Prints a line if no line was printed for ten seconds. It is cheap enough to call in every step of a long job."""
    if time.monotonic() - _Output.last_line >= HEARTBEAT_SECONDS:
        say(f"  {text}")


def step(epoch: int, done: int, steps: int) -> None:
    """Shows the progress of an epoch: on a terminal a bar that the next line replaces, elsewhere heartbeat lines."""
    if not _on_terminal():
        print_heartbeat(f"epoch {epoch}: step {done} of {steps}")
        return
    filled = BAR_CHARACTERS * done // steps
    _draw_over(f"  epoch {epoch}  [{'#' * filled}{'-' * (BAR_CHARACTERS - filled)}] {done}/{steps}")


def _on_terminal() -> bool:
    return (_Output.stream or sys.stdout).isatty()


def _draw_over(text: str) -> None:
    if time.monotonic() - _Output.last_bar < REDRAW_SECONDS:
        return
    stream = _Output.stream or sys.stdout
    stream.write(CLEAR_LINE + text)
    stream.flush()
    _Output.last_bar, _Output.has_bar = time.monotonic(), True


def warn(text: str) -> None:
    """Prints a warning that the user should act on."""
    say(f"Warning: {text}")


def table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows with aligned columns: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  " + "  ".join(cells).rstrip())


def command(*arguments: object) -> str:
    """A command line for the running Python, as the user types it in the current folder."""
    python = Path(sys.executable)
    here = Path.cwd()
    shown = python.relative_to(here) if python.is_relative_to(here) else "python3"
    return shlex.join(map(str, (shown, *arguments)))


def size_text(size_bytes: float) -> str:
    """A size with its unit: 1 KB is 1024 bytes and 1 MB is 1024 KB, as for a board's memory."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    if size_bytes < 1024**2:
        return f"{size_bytes / 1024:.1f} KB"
    return f"{size_bytes / 1024**2:.1f} MB"


def track(items: Sequence[T], label: str) -> Iterable[T]:
    """Yields the items and shows the progress: a bar on a terminal, heartbeat lines elsewhere."""
    if not sys.stdout.isatty():
        for done, item in enumerate(items):
            print_heartbeat(f"{label}: {done} of {len(items)}")
            yield item
        return
    with click.progressbar(items, label=label) as bar:
        yield from bar


class Stages:
    """Numbered stages. Each prints outcome, seconds and notes: `[2/6] TensorFlow Lite float32  ok  11.2 s  64 KB`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.seconds: dict[str, float] = {}

    @contextmanager
    def run(self, name: str) -> Iterator[list[str]]:
        """Runs a stage. The line of the stage ends with the notes that the body appends to the yielded list."""
        number = self.names.index(name) + 1
        notes: list[str] = []
        start = time.monotonic()
        outcome = "failed"
        try:
            with heartbeat(name):
                yield notes
            outcome = "ok"
        finally:
            self.seconds[name] = time.monotonic() - start
            width = max(map(len, self.names))
            line = f"[{number}/{len(self.names)}] {name.ljust(width)}  {outcome}  {self.seconds[name]:5.1f} s"
            say("  ".join([line, *notes]))


@contextmanager
def heartbeat(name: str) -> Iterator[None]:
    """Prints every ten seconds that `name` is running. A thread does it, because long library calls print nothing."""
    finished = threading.Event()

    def beat() -> None:
        start = time.monotonic()
        shows, pause = (_draw_over, 1.0) if _on_terminal() else (print_heartbeat, HEARTBEAT_SECONDS)
        while not finished.wait(pause):
            shows(f"{name}: {time.monotonic() - start:.0f} s so far")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


@contextmanager
def foreign_output_hidden(debug: bool) -> Iterator[None]:
    """Hides the output of other libraries, including native code, unless `debug`."""
    if debug:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as sink, os.fdopen(os.dup(1), "w") as own_stream:
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            _Output.stream = own_stream
            yield
        finally:
            _Output.stream = None
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


@contextmanager
def friendly_errors(debug: bool) -> Iterator[None]:
    """Prints an error as one line on standard error and exits with code 1. With `debug` the traceback is shown."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        # click handles these. BrokenPipeError means that the reader, such as head, has closed the pipe.
        raise
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = f" ({error.filename})" if error.filename else ""
            error = BlockError(f"The disk is full{place}. Free some space and start again.")
        elif not isinstance(error, BlockError | DeployError):
            error = BlockError(unexpected(error))
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from None


@contextmanager
def tolerated(consequence: str, again: str, debug: bool) -> Iterator[None]:
    """Turns an exception of the body into a warning with its consequence and the command that tries again.

    It is used for steps that the trained network does not depend on. With `debug` the exception is raised.
    """
    try:
        yield
    except Exception as error:
        if debug:
            raise
        warn(f"{consequence}: {in_one_line(error)}")
        say(f"To try again: {again}")


def epoch_header(score_name: str) -> None:
    """Prints the header of the table of epochs. `epoch_row` prints its rows."""
    say(f"    epoch  train loss  val loss  {'val ' + score_name:>12}  seconds")


def epoch_row(
    number: int,
    epochs: int,
    train_loss: float,
    validation_loss: float | None,
    score: float | None,
    seconds: float,
    is_kept: bool,
) -> None:
    """Prints the row of one epoch. `*` marks the best epoch so far, and a dash an epoch that was not validated."""
    loss_text = "-" if validation_loss is None else f"{validation_loss:.4f}"
    score_text = "-" if score is None else f"{score:.1%}"
    say(
        f"{'*' if is_kept else ' '} {number:>3}/{epochs:<3}  {train_loss:>10.4f}  {loss_text:>8}  "
        f"{score_text:>12}  {seconds:>7.1f}"
    )
