"""Camera boards: their memory, their camera pins, and the frame size that a sketch sets."""

from collections.abc import Collection
from dataclasses import dataclass

LARGEST_BLOCK_BYTES = 110_000
"""About the largest free block of an ESP32's internal RAM. It limits the frame without PSRAM."""
FREE_BYTES = 200_000
"""About the free internal RAM of an ESP32 without Wi-Fi, after the camera driver allocated its own buffers."""
PSRAM_BYTES = 4 * 1024 * 1024
"""The PSRAM that a program can address on a board with PSRAM."""


@dataclass(frozen=True)
class Board:
    """Camera pins of a board, by the names of the camera. `data` is D0 to D7 (Y2 to Y9). -1: not connected."""

    macro: str
    """The macro that a sketch defines to choose this board."""
    settings: str
    """The choices in the menu of the Arduino IDE: the board and other settings."""
    pwdn: int
    reset: int
    xclk: int
    sda: int
    scl: int
    data: tuple[int, ...]
    vsync: int
    href: int
    pclk: int
    pull_ups: tuple[int, ...] = ()
    """Camera pins without a pull-up resistor on the board. The processor pulls them up."""


BOARDS = {
    "ai-thinker": Board(
        macro="BOARD_AI_THINKER",
        settings="AI Thinker ESP32-CAM",
        pwdn=32,
        reset=-1,
        xclk=0,
        sda=26,
        scl=27,
        data=(5, 18, 19, 21, 36, 39, 34, 35),
        vsync=25,
        href=23,
        pclk=22,
    ),
    "esp-eye": Board(
        macro="BOARD_ESP_EYE",
        settings="ESP32 Dev Module, PSRAM: Enabled, Partition Scheme: Huge APP",
        pwdn=-1,
        reset=-1,
        xclk=4,
        sda=18,
        scl=23,
        data=(34, 13, 14, 35, 39, 38, 37, 36),
        vsync=5,
        href=27,
        pclk=25,
        pull_ups=(13, 14),
    ),
    "xiao-s3": Board(
        macro="BOARD_XIAO_S3",
        settings="XIAO_ESP32S3, PSRAM: OPI PSRAM",
        pwdn=-1,
        reset=-1,
        xclk=10,
        sda=40,
        scl=39,
        data=(15, 17, 18, 16, 14, 12, 11, 48),
        vsync=38,
        href=47,
        pclk=13,
    ),
}


@dataclass(frozen=True)
class FrameSize:
    """A frame size, FRAMESIZE_`name` in the camera driver; width and height in px."""

    name: str
    width: int
    height: int

    def frame_bytes(self, channels: int) -> int:
        """Bytes of one frame: grayscale for a network with one channel, else RGB565."""
        return self.width * self.height * (1 if channels == 1 else 2)


FRAME_SIZES = (
    FrameSize("96X96", 96, 96),
    FrameSize("QQVGA", 160, 120),
    FrameSize("QCIF", 176, 144),
    FrameSize("HQVGA", 240, 176),
    FrameSize("240X240", 240, 240),
    FrameSize("QVGA", 320, 240),
    FrameSize("VGA", 640, 480),
)
"""Sorted by bytes."""


def fits_without_psram(pieces: Collection[int], others_bytes: int) -> bool:
    """Whether internal RAM has room for `pieces` (bytes of each, the camera's frame included) and `others_bytes`."""
    return max(pieces) <= LARGEST_BLOCK_BYTES and sum(pieces) + others_bytes <= FREE_BYTES


def frame_sizes(size: int, channels: int, resize: str) -> tuple[FrameSize, FrameSize]:
    """Frame sizes with and without PSRAM for a network of `size` px: the smallest frame that is at least as high.

    Without PSRAM the frame may be smaller, because it must fit in LARGEST_BLOCK_BYTES. Square frames are only for
    networks that see the centre ("crop"). The others were trained on whole wide pictures, and get wide frames.
    """
    fitting = [frame for frame in FRAME_SIZES if resize == "crop" or frame.width != frame.height]
    large = next((frame for frame in fitting if frame.height >= size), fitting[-1])
    in_one_piece = [frame for frame in fitting if frame.frame_bytes(channels) <= LARGEST_BLOCK_BYTES]
    small = large if large in in_one_piece else in_one_piece[-1]
    return large, small
