"""Resizes, crops and converts images to grayscale with integers, for photos, calibration and the board.

A microcontroller gets the same bytes with unsigned 32-bit integers from a frame that arrives row by row.
"""

from dataclasses import dataclass

import numpy as np

# Studio's "squash", "fit shortest axis" (centre crop) and "fit longest axis" (letterbox with black).
RESIZE_MODES = ("squash", "crop", "fit")

# Luma weights of red, green and blue in 1/256 (ITU-R BT.601: 0.299, 0.587, 0.114). Their sum is 256, so that grey
# keeps its value.
GRAY_WEIGHTS = (77, 150, 29)

INT8_OFFSET = 128
"""An int8 input is the pixel minus this offset. A uint8 input is the pixel."""

# Integers, sums and products below these limits are exact in floating point.
FLOAT32_EXACT = 2**24
FLOAT64_EXACT = 2**53


@dataclass(frozen=True)
class Placement:
    """The rectangle of the source (in source px), and the rectangle of the target (in target px) that it fills."""

    source_x: int
    source_y: int
    source_width: int
    source_height: int
    target_x: int
    target_y: int
    target_width: int
    target_height: int


def placement(width: int, height: int, size: int, mode: str) -> Placement:
    """The placement of an image of width x height px in a square of `size` px. Divisions round down.

    squash: the whole source fills the whole target.
    crop:   side = min(width, height); the source square starts at ((width - side) / 2, (height - side) / 2).
    fit:    the longer side becomes `size`, the shorter max(1, (shorter * size + longer / 2) / longer);
            the target rectangle starts at ((size - target_width) / 2, (size - target_height) / 2).

    Raises ValueError if the mode is unknown or a side is below 1 px.
    """
    if min(width, height, size) < 1:
        raise ValueError(f"cannot place {width}x{height} px in {size} px; every side must be at least 1 px")
    if mode == "squash":
        return Placement(0, 0, width, height, 0, 0, size, size)
    if mode == "crop":
        side = min(width, height)
        return Placement((width - side) // 2, (height - side) // 2, side, side, 0, 0, size, size)
    if mode == "fit":
        longer = max(width, height)
        across, down = (max(1, (side * size + longer // 2) // longer) for side in (width, height))
        return Placement(0, 0, width, height, (size - across) // 2, (size - down) // 2, across, down)
    raise ValueError(f"unknown resize mode {mode!r}; choose from {', '.join(RESIZE_MODES)}")


def image_to_input(image: np.ndarray, size: int, mode: str, channels: int) -> np.ndarray:
    """Converts an RGB photo or frame to the network's input: (H, W, 3) uint8 -> (size, size, channels) uint8.

    The image is resized first and converted to grayscale afterwards. A board then converts only size * size pixels
    instead of every pixel of the camera. A gray frame needs no conversion, because the conversion keeps gray values.
    Raises ValueError for another shape, type or mode, and for channels other than 1 and 3.
    """
    if image.ndim != 3 or image.shape[2] != 3 or channels not in (1, 3):
        raise ValueError(f"expected an RGB image and 1 or 3 channels, got shape {image.shape} and {channels} channels")
    resized = resize(image, size, mode)
    return grayscale(resized) if channels == 1 else resized


def int8_from_bytes(values: np.ndarray) -> np.ndarray:
    """Converts bytes 0..255 to int8 of the same shape: value - 128. Models take pixels in this form."""
    return (values.astype(np.int16) - INT8_OFFSET).astype(np.int8)


def bytes_from_int8(values: np.ndarray) -> np.ndarray:
    """Converts int8 to bytes 0..255 of the same shape: value + 128. The generated C++ takes pixels in this form."""
    return (values.astype(np.int16) + INT8_OFFSET).astype(np.uint8)


def int8_from_shares(images: np.ndarray) -> np.ndarray:
    """Converts pixels as float in 0..1 to int8 of the same shape: 255 times the value, rounded, - 128."""
    return int8_from_bytes(np.rint(images * np.float32(255)))


def grayscale(rgb: np.ndarray) -> np.ndarray:
    """Converts (H, W, 3) uint8 RGB to (H, W, 1) uint8: (77 R + 150 G + 29 B + 128) >> 8."""
    weighted = rgb.astype(np.uint16) @ np.array(GRAY_WEIGHTS, np.uint16)[:, None]
    return ((weighted + 128) >> 8).astype(np.uint8)


def resize(image: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Resizes by area averaging with integers: (H, W, C) uint8 -> (size, size, C) uint8. Equal sizes change nothing.

    An axis with S source pixels and T target pixels is divided into S * T units. Target pixel t covers
    [t * S, (t + 1) * S). Source pixel s covers [s * T, (s + 1) * T). The weight of s in t is the length of their
    overlap. The weights in a target pixel sum to S. With total = S_height * S_width of the source rectangle:

        out = (sum of weight_y * weight_x * pixel + total / 2) / total        rounded once, ties up

    A board adds each row when it arrives. It sums weight_x * pixel along the row, and adds weight_y times these sums
    to the sums of the target row. The sums fit in uint32 if 255 * total + total / 2 < 2^32, which means up to
    16,810,048 source pixels (4096 x 4096). This function is exact for photos of any size. In mode "fit" the rest of
    the square is black. Raises ValueError for another shape, type or mode.
    """
    if image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected (height, width, channels) uint8, got {image.shape} {image.dtype}")
    place = placement(image.shape[1], image.shape[0], size, mode)
    source = image[
        place.source_y : place.source_y + place.source_height, place.source_x : place.source_x + place.source_width
    ]
    target = np.zeros((size, size, image.shape[2]), np.uint8)
    target[
        place.target_y : place.target_y + place.target_height, place.target_x : place.target_x + place.target_width
    ] = _average(source, place.target_height, place.target_width)
    return target


def _average(source: np.ndarray, target_height: int, target_width: int) -> np.ndarray:
    height, width, channels = source.shape
    rows = _weighted_sums(source.reshape(height, -1), target_height, peak=255)  # (target_height, width * C)
    columns = rows.reshape(target_height, width, channels).transpose(1, 0, 2).reshape(width, -1)
    sums = _weighted_sums(columns, target_width, peak=255 * height)  # (target_width, target_height * C)
    total = height * width
    average = (sums.astype(np.int64) + total // 2) // total
    return average.reshape(target_width, target_height, channels).transpose(1, 0, 2).astype(np.uint8)


def _weighted_sums(lines: np.ndarray, targets: int, peak: int) -> np.ndarray:
    """Exact sums along the first axis, weighted by overlap: (S, n) of integers up to `peak` -> (targets, n)."""
    sources = len(lines)
    exact = _exact_float(peak * sources)
    sums = np.empty((targets, lines.shape[1]), exact)
    # One target row at a time. A large photo as floats would need too much memory.
    for target in range(targets):
        start, stop = target * sources, (target + 1) * sources
        first, last = start // targets, -(-stop // targets)
        edges = np.clip(np.arange(first, last + 1) * targets, start, stop)
        np.matmul(np.diff(edges).astype(exact), lines[first:last].astype(exact, copy=False), out=sums[target])
    return sums


def _exact_float(largest: int) -> type[np.floating]:
    """The smallest floating-point type that holds every integer up to `largest` exactly."""
    if largest < FLOAT32_EXACT:
        return np.float32
    if largest < FLOAT64_EXACT:
        return np.float64
    raise ValueError(f"sums up to {largest} are not exact in floating point; use a smaller image")
