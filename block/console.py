"""The lines a person reads: plain without a terminal, a progress bar with one, and errors in one line.

Studio takes a silent job for a dead one, so whatever lasts longer than ten seconds says that it goes on.
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
# on a terminal a line that is drawn over may move as often as this
REDRAW_SECONDS = 0.1
BAR_CHARACTERS = 30
CLEAR_LINE = "\r\x1b[K"


class _Voice:
    """Where lines go, and when the last one went."""

    stream: TextIO | None = None  # None: whatever standard output is
    last_line = time.monotonic()
    last_bar = 0.0
    has_bar = False


def say(text: str = "") -> None:
    """Prints a line at once, so that a log that is followed never lags."""
    stream = _Voice.stream or sys.stdout
    if _Voice.has_bar:
        stream.write(CLEAR_LINE)
        _Voice.has_bar = False
    click.echo(text, file=stream)
    stream.flush()
    _Voice.last_line = time.monotonic()


def still_going(text: str) -> None:
    """Prints a line if none was printed for ten seconds; cheap enough to call for every step of a long job."""
    if time.monotonic() - _Voice.last_line >= HEARTBEAT_SECONDS:
        say(f"  {text}")


def step(epoch: int, done: int, steps: int) -> None:
    """Shows how far an epoch is: on a terminal a bar that the next line replaces, elsewhere a line now and then."""
    if not _on_terminal():
        still_going(f"epoch {epoch}: step {done} of {steps}")
        return
    filled = BAR_CHARACTERS * done // steps
    _draw_over(f"  epoch {epoch}  [{'#' * filled}{'-' * (BAR_CHARACTERS - filled)}] {done}/{steps}")


def _on_terminal() -> bool:
    return (_Voice.stream or sys.stdout).isatty()


def _draw_over(text: str) -> None:
    if time.monotonic() - _Voice.last_bar < REDRAW_SECONDS:
        return
    stream = _Voice.stream or sys.stdout
    stream.write(CLEAR_LINE + text)
    stream.flush()
    _Voice.last_bar, _Voice.has_bar = time.monotonic(), True


def warn(text: str) -> None:
    """Prints a line that a person should act on."""
    say(f"Warning: {text}")


def table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  " + "  ".join(cells).rstrip())


def command(*arguments: object) -> str:
    """A command line for the Python that runs this, as one types it in this folder."""
    python = Path(sys.executable)
    here = Path.cwd()
    shown = python.relative_to(here) if python.is_relative_to(here) else "python3"
    return shlex.join(map(str, (shown, *arguments)))


def size_text(size_bytes: float) -> str:
    """Bytes as a person reads them; KB and MB count in 1024s, as a board's memory does."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    if size_bytes < 1024**2:
        return f"{size_bytes / 1024:.1f} KB"
    return f"{size_bytes / 1024**2:.1f} MB"


def track(items: Sequence[T], label: str) -> Iterable[T]:
    """Walks over items, with a progress bar if standard output is a terminal."""
    if not sys.stdout.isatty():
        for done, item in enumerate(items):
            still_going(f"{label}: {done} of {len(items)}")
            yield item
        return
    with click.progressbar(items, label=label) as bar:
        yield from bar


class Stages:
    """Numbered stages, each with its outcome, seconds and size: `[2/6] TensorFlow Lite float32  ok  11.2 s  64 KB`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.seconds: dict[str, float] = {}

    @contextmanager
    def run(self, name: str) -> Iterator[list[str]]:
        """Runs a stage; what the body appends to the value is printed behind the time."""
        number = self.names.index(name) + 1
        notes: list[str] = []
        start = time.monotonic()
        outcome = "failed"
        try:
            with beating(name):
                yield notes
            outcome = "ok"
        finally:
            self.seconds[name] = time.monotonic() - start
            width = max(map(len, self.names))
            line = f"[{number}/{len(self.names)}] {name.ljust(width)}  {outcome}  {self.seconds[name]:5.1f} s"
            say("  ".join([line, *notes]))


@contextmanager
def beating(name: str) -> Iterator[None]:
    """Says every ten seconds that `name` goes on, from a thread: other libraries' long calls say nothing."""
    finished = threading.Event()

    def beat() -> None:
        start = time.monotonic()
        shows, pause = (_draw_over, 1.0) if _on_terminal() else (still_going, HEARTBEAT_SECONDS)
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
    """Keeps what other libraries print to themselves, native code included, unless `debug`."""
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
            _Voice.stream = own_stream
            yield
        finally:
            _Voice.stream = None
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


@contextmanager
def friendly_errors(debug: bool) -> Iterator[None]:
    """Turns errors into one line on standard error and exit code 1; with `debug` the traceback stays."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        # click knows these; the last comes of a reader that has seen enough, such as head
        raise
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = f" ({error.filename})" if error.filename else ""
            error = BlockError(f"No space is left on the disk{place}; free some and start again.")
        elif not isinstance(error, BlockError | DeployError):
            error = BlockError(unexpected(error))
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from None


@contextmanager
def tolerated(consequence: str, again: str, debug: bool) -> Iterator[None]:
    """Turns what fails into a warning that says what came of it, with the command that tries it again.

    For what may fail without harm to what was learned; with `debug` the traceback stays.
    """
    try:
        yield
    except Exception as error:
        if debug:
            raise
        warn(f"{consequence}: {in_one_line(error)}")
        say(f"To try that again: {again}")


def epoch_header(score_name: str) -> None:
    """The head of the table that `epoch_row` continues."""
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
    """One epoch; `*` marks the best so far, a dash what was not validated."""
    loss_text = "-" if validation_loss is None else f"{validation_loss:.4f}"
    score_text = "-" if score is None else f"{score:.1%}"
    say(
        f"{'*' if is_kept else ' '} {number:>3}/{epochs:<3}  {train_loss:>10.4f}  {loss_text:>8}  "
        f"{score_text:>12}  {seconds:>7.1f}"
    )
