import os
import subprocess
import sys
import time

import pytest

from block import console
from block.errors import BlockError
from esp32_deploy.errors import DeployError


def test_size_text_chooses_the_unit():
    assert [console.size_text(size) for size in (999, 2048, 48_000, 3 * 1024**2)] == [
        "999 B",
        "2.0 KB",
        "46.9 KB",
        "3.0 MB",
    ]


def test_table_columns_are_aligned(capsys):
    console.table([["class", "train"], ["apple", "5"], ["kiwi", "120"]])
    assert capsys.readouterr().out == "  class  train\n  apple      5\n  kiwi     120\n"


def test_heartbeat_is_printed_only_after_ten_seconds(capsys, monkeypatch):
    console.say("start")
    console.print_heartbeat("quick")
    monkeypatch.setattr(console._Output, "last_line", time.monotonic() - console.HEARTBEAT_SECONDS)
    console.print_heartbeat("slow")
    console.print_heartbeat("quick again")
    assert capsys.readouterr().out == "start\n  slow\n"


def test_track_prints_the_count_in_heartbeats(capsys, monkeypatch):
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


def test_heartbeat_is_printed_while_library_output_is_hidden():
    result = subprocess.run([sys.executable, "-c", LONG_STAGE], capture_output=True, text=True, check=True)
    heartbeat, *_, last = result.stdout.splitlines()
    assert heartbeat == "  one: 0 s so far"
    assert last.startswith("[1/2] one    ok") and last.endswith("s  5 KB")
    assert "chatter" not in result.stdout


def test_stage_number_is_its_position_in_the_list(capsys):
    stages = console.Stages(["one", "two", "three"])
    for name in ("three", "one"):
        with stages.run(name):
            pass
    assert [line[:11] for line in capsys.readouterr().out.splitlines()] == ["[3/3] three", "[1/3] one  "]


def test_unlisted_stage_is_refused():
    with pytest.raises(ValueError, match="not in"), console.Stages(["one"]).run("own"):
        pass


def test_output_is_visible_again_after_an_error(capfd):
    with pytest.raises(ValueError), console.foreign_output_hidden(debug=False):
        os.write(2, b"hidden\n")
        raise ValueError
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_debug_shows_library_output(capfd):
    with console.foreign_output_hidden(debug=True):
        os.write(1, b"chatter\n")
    assert capfd.readouterr().out == "chatter\n"


@pytest.mark.parametrize("kind", [BlockError, DeployError])
def test_error_is_one_line_on_standard_error(kind, capsys):
    with pytest.raises(SystemExit) as stop, console.friendly_errors(debug=False):
        raise kind("No photos in x; add some.")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "Error: No photos in x; add some.\n"


def test_tolerated_error_is_a_warning_with_the_command_that_tries_again(capsys):
    with console.tolerated("x is not there", "make x", debug=False):
        raise ValueError("no\npaper")
    assert capsys.readouterr().out == "Warning: x is not there: ValueError: no paper\nTo try again: make x\n"
    with console.tolerated("x is not there", "make x", debug=False):
        pass
    assert capsys.readouterr().out == ""


def test_tolerated_error_is_raised_with_debug():
    with pytest.raises(ValueError, match="no paper"), console.tolerated("x is not there", "make x", debug=True):
        raise ValueError("no paper")


def test_track_shows_a_progress_bar_on_a_terminal():
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


def test_epoch_bar_on_a_terminal_is_replaced_by_the_next_line():
    shown = on_a_terminal(
        "from block import console; console.REDRAW_SECONDS = 0\n"
        "for step in (5, 10): console.step(3, step, 10)\n"
        "console.say('row')"
    )
    assert shown == (
        f"{console.CLEAR_LINE}  epoch 3  [{'#' * 15}{'-' * 15}] 5/10"
        f"{console.CLEAR_LINE}  epoch 3  [{'#' * 30}] 10/10{console.CLEAR_LINE}row\r\n"
    )


def test_epoch_step_prints_only_heartbeats_without_a_terminal(capsys, monkeypatch):
    console.say("start")
    console.step(3, 5, 10)
    monkeypatch.setattr(console._Output, "last_line", time.monotonic() - console.HEARTBEAT_SECONDS)
    console.step(3, 6, 10)
    assert capsys.readouterr().out == "start\n  epoch 3: step 6 of 10\n"


def test_broken_pipe_is_not_reported_as_an_error():
    with pytest.raises(BrokenPipeError), console.friendly_errors(debug=False):
        raise BrokenPipeError
