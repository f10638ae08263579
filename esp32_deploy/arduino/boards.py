"""Camera boards: their memory, their wires, and the frame that a sketch asks the camera for."""

from collections.abc import Collection
from dataclasses import dataclass

LARGEST_BLOCK_BYTES = 110_000
"""About the largest piece of internal RAM that an ESP32 gives at once, so the largest frame without PSRAM."""
FREE_BYTES = 200_000
"""About what an ESP32 has free in internal RAM without Wi-Fi, once the camera's driver has its own buffers."""
PSRAM_BYTES = 4 * 1024 * 1024
"""What a program sees of the PSRAM of boards that have some."""


@dataclass(frozen=True)
class Board:
    """Pins by the camera's names; `data` from D0 to D7 (Y2 to Y9), -1 where there is none."""

    macro: str
    """What the sketch defines to choose it."""
    settings: str
    """The Arduino IDE's menu: board, and what else must be set."""
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
    """Camera pins that nothing else on the board pulls up: the processor must."""


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
    """A size that the camera's driver knows as FRAMESIZE_`name`; width and height in px."""

    name: str
    width: int
    height: int

    def frame_bytes(self, channels: int) -> int:
        """Bytes of one frame: RGB565 for networks of three channels, grayscale for those of one."""
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
"""By bytes."""


def fits_without_psram(pieces: Collection[int], others_bytes: int) -> bool:
    """Whether internal RAM has room for pieces of so many bytes, the camera's frame among them, and for the rest."""
    return max(pieces) <= LARGEST_BLOCK_BYTES and sum(pieces) + others_bytes <= FREE_BYTES


def frame_sizes(size: int, channels: int, resize: str) -> tuple[FrameSize, FrameSize]:
    """The frame for a network of `size` px with PSRAM and the one without: the smallest that is no smaller.

    A network that sees a squeezed or framed picture was trained on wide ones, and gets wide ones: a square frame is
    for those that see the centre.
    """
    fitting = [frame for frame in FRAME_SIZES if resize == "crop" or frame.width != frame.height]
    large = next((frame for frame in fitting if frame.height >= size), fitting[-1])
    in_one_piece = [frame for frame in fitting if frame.frame_bytes(channels) <= LARGEST_BLOCK_BYTES]
    small = large if large in in_one_piece else in_one_piece[-1]
    return large, small
