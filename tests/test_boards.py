import pytest

from esp32_deploy.arduino.boards import BOARDS, FREE_BYTES, LARGEST_BLOCK_BYTES, fits_without_psram, frame_sizes


@pytest.mark.parametrize(
    ("size", "channels", "resize", "with_psram", "without"),
    [
        (96, 3, "crop", "96X96", "96X96"),
        (96, 3, "squash", "QQVGA", "QQVGA"),
        (96, 1, "fit", "QQVGA", "QQVGA"),
        (160, 3, "crop", "HQVGA", "HQVGA"),
        (224, 3, "crop", "240X240", "HQVGA"),
        (224, 1, "crop", "240X240", "240X240"),
        (224, 3, "squash", "QVGA", "HQVGA"),
        (320, 3, "squash", "VGA", "HQVGA"),
    ],
)
def test_the_frame_is_the_smallest_that_is_large_enough(size, channels, resize, with_psram, without):
    large, small = frame_sizes(size, channels, resize)
    assert (large.name, small.name) == (with_psram, without)
    assert small.frame_bytes(channels) <= LARGEST_BLOCK_BYTES


@pytest.mark.parametrize(
    ("pieces", "others_bytes", "fits"),
    [
        ([LARGEST_BLOCK_BYTES], 0, True),
        ([LARGEST_BLOCK_BYTES + 1], 0, False),
        ([90_000, 90_000], FREE_BYTES - 180_000, True),
        ([90_000, 90_000], FREE_BYTES - 180_000 + 1, False),
    ],
)
def test_internal_ram_limits_the_largest_piece_and_the_total(pieces, others_bytes, fits):
    assert fits_without_psram(pieces, others_bytes) == fits


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_camera_pin_is_used_once(board):
    pins = [board.xclk, board.sda, board.scl, *board.data, board.vsync, board.href, board.pclk]
    assert len(set(pins)) == len(pins) == 14
