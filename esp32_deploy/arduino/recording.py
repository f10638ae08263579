"""The images of a board's self-test: samples of real data if given, else seeded patterns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esp32_deploy.errors import DeployError
from esp32_deploy.pixels import int8_from_bytes, int8_from_shares
from esp32_deploy.verify import patterns

MOST_IMAGES = 4
MOST_BYTES = 96 * 1024
"""Limit of the images in flash. One image is always recorded."""
PLAIN_PATTERNS = 3
"""The first patterns are black, white and grey. They are skipped because they test little."""


class SamplesError(DeployError):
    """The samples are not images of the model's shape and type."""


@dataclass(frozen=True)
class Recording:
    """Images as int8 (N, height, width, channels), and their origin as text."""

    images: np.ndarray
    origin: str


def read_samples(path: Path) -> np.ndarray:
    """Opens an array of images without loading it into memory. Raises SamplesError if the file is not a .npy file."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise SamplesError(f"{path} cannot be read as a .npy file: {error}.") from error


def record(samples: np.ndarray | None, shape: tuple[int, int, int]) -> Recording:
    """Up to four images, evenly spaced in `samples` (N, height, width, channels): float in 0..1, uint8 or int8.

    `shape` is the model's height, width, channels. Raises SamplesError for another shape or type.
    """
    count = max(1, min(MOST_IMAGES, MOST_BYTES // int(np.prod(shape))))
    if samples is None:
        return Recording(patterns.patterns(shape, PLAIN_PATTERNS + count)[PLAIN_PATTERNS:], "seeded patterns")
    if samples.ndim != 4 or samples.shape[1:] != shape or not len(samples):
        wanted = ", ".join(map(str, shape))
        raise SamplesError(f"The samples have the shape {samples.shape}. (N, {wanted}) is expected.")
    chosen = np.unique(np.linspace(0, len(samples) - 1, count).astype(int))
    return Recording(_as_int8(np.array(samples[chosen])), "samples of real data")


def _as_int8(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.int8:
        return images
    if images.dtype == np.uint8:
        return int8_from_bytes(images)
    if not np.issubdtype(images.dtype, np.floating) or images.min() < 0 or images.max() > 1:
        raise SamplesError(f"The samples are {images.dtype}. Float in 0..1, uint8 or int8 is expected.")
    return int8_from_shares(images)
