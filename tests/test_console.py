import os
import subprocess
import sys
import time

import pytest

from block import console
from block.errors import BlockError
from esp32_deploy.errors import DeployError


def test_sizes_read_well():
    assert [console.size_text(size) for size in (999, 2048, 48_000, 3 * 1024**2)] == [
        "999 B",
        "2.0 KB",
        "46.9 KB",
        "3.0 MB",
    ]


def test_tables_align(capsys):
    console.table([["class", "train"], ["apple", "5"], ["kiwi", "120"]])
    assert capsys.readouterr().out == "  class  train\n  apple      5\n  kiwi     120\n"


def test_a_long_job_says_that_it_goes_on_and_a_short_one_does_not(capsys, monkeypatch):
    console.say("start")
    console.still_going("quick")
    monkeypatch.setattr(console._Voice, "last_line", time.monotonic() - console.HEARTBEAT_SECONDS)
    console.still_going("slow")
    console.still_going("quick again")
    assert capsys.readouterr().out == "start\n  slow\n"


def test_photos_are_counted_when_they_take_long(capsys, monkeypatch):
    monkeypatch.setattr(console, "HEARTBEAT_SECONDS", 0.0)
    assert list(console.track(["a", "b"], "Photos")) == ["a", "b"]
    assert capsys.readouterr().out == "  Photos: 0 of 2\n  Photos: 1 of 2\n"


LONG_STAGE = """
import os, time
from block import console
console.HEARTBEAT_SECONDS = 0.05
stages = console.Stages(["one", "three"])
with stages.run("one") as notes, console.foreign_output_hidden(debug=False):
    os.write(1, b"native chatter")
    print("python chatter")
    time.sleep(0.2)
    notes.append("5 KB")
"""


def test_a_long_stage_beats_even_while_other_output_is_hidden():
    result = subprocess.run([sys.executable, "-c", LONG_STAGE], capture_output=True, text=True, check=True)
    beat, *_, last = result.stdout.splitlines()
    assert beat == "  one: 0 s so far"
    assert last.startswith("[1/2] one    ok") and last.endswith("s  5 KB")
    assert "chatter" not in result.stdout


def test_a_stage_has_the_number_of_its_place_even_where_one_before_it_was_left_out(capsys):
    stages = console.Stages(["one", "two", "three"])
    for name in ("three", "one"):
        with stages.run(name):
            pass
    assert [line[:11] for line in capsys.readouterr().out.splitlines()] == ["[3/3] three", "[1/3] one  "]


def test_a_stage_that_was_not_announced_is_refused():
    with pytest.raises(ValueError, match="not in"), console.Stages(["one"]).run("own"):
        pass


def test_hidden_output_comes_back_after_an_error(capfd):
    with pytest.raises(ValueError), console.foreign_output_hidden(debug=False):
        os.write(2, b"hidden\n")
        raise ValueError
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_debugging_shows_other_output(capfd):
    with console.foreign_output_hidden(debug=True):
        os.write(1, b"chatter\n")
    assert capfd.readouterr().out == "chatter\n"


@pytest.mark.parametrize("kind", [BlockError, DeployError])
def test_errors_are_a_line_on_standard_error(kind, capsys):
    with pytest.raises(SystemExit) as stop, console.friendly_errors(debug=False):
        raise kind("No photos in x; add some.")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "Error: No photos in x; add some.\n"


def test_what_may_fail_is_a_warning_with_the_command_that_tries_again(capsys):
    with console.tolerated("x is not there", "make x", debug=False):
        raise ValueError("no\npaper")
    assert capsys.readouterr().out == "Warning: x is not there: ValueError: no paper\nTo try that again: make x\n"
    with console.tolerated("x is not there", "make x", debug=False):
        pass
    assert capsys.readouterr().out == ""


def test_what_may_fail_shows_where_when_debugging():
    with pytest.raises(ValueError, match="no paper"), console.tolerated("x is not there", "make x", debug=True):
        raise ValueError("no paper")


def test_a_terminal_gets_a_progress_bar():
    pty = pytest.importorskip("pty")
    program = "from block import console; list(console.track(list(range(5)), 'Photos'))"
    leader, follower = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stdout=follower, check=True)
    os.close(follower)
    assert b"Photos" in os.read(leader, 4096)


def on_a_terminal(program):
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stdout=follower, check=True)
    os.close(follower)
    return os.read(leader, 65536).decode()


def test_a_terminal_sees_an_epoch_advance_and_then_only_its_row():
    shown = on_a_terminal(
        "from block import console; console.REDRAW_SECONDS = 0\n"
        "for step in (5, 10): console.step(3, step, 10)\n"
        "console.say('row')"
    )
    assert shown == (
        f"{console.CLEAR_LINE}  epoch 3  [{'#' * 15}{'-' * 15}] 5/10"
        f"{console.CLEAR_LINE}  epoch 3  [{'#' * 30}] 10/10{console.CLEAR_LINE}row\r\n"
    )


def test_without_a_terminal_an_epoch_is_silent_until_it_is_long(capsys, monkeypatch):
    console.say("start")
    console.step(3, 5, 10)
    monkeypatch.setattr(console._Voice, "last_line", time.monotonic() - console.HEARTBEAT_SECONDS)
    console.step(3, 6, 10)
    assert capsys.readouterr().out == "start\n  epoch 3: step 6 of 10\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    with pytest.raises(BrokenPipeError), console.friendly_errors(debug=False):
        raise BrokenPipeError
