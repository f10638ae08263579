"""Seeded inputs that exercise a network's arithmetic: extremes, noise, smooth and blocky images."""

from pathlib import Path

import numpy as np

from esp32_deploy import pixels
from esp32_deploy.errors import DeployError

SEED = 2
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


def patterns(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """`count` int8 inputs (count, height, width, channels): black, white and grey first, then kinds in turn."""
    generator = np.random.default_rng(SEED)
    makers = (_noise, _smooth, _blocks, _two_levels)
    plain = [np.full(shape, level, np.int8) for level in (-128, 127, 0)]
    drawn = [makers[number % len(makers)](generator, shape) for number in range(max(count - len(plain), 0))]
    return np.stack([*plain, *drawn][:count])


def photos(folder: Path, shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Up to `count` photos of a folder and those below it as int8 inputs, brought to size as the board does it."""
    from PIL import Image

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise DeployError(f"{folder} has no photos ({', '.join(PHOTO_SUFFIXES)}).")
    if shape[0] != shape[1] or shape[2] not in (1, 3):
        raise DeployError(f"The model takes {shape}, not a square photo; leave the photos out.")
    images = (np.asarray(Image.open(path).convert("RGB")) for path in paths[:count])
    sized = np.stack([pixels.image_to_input(image, shape[0], "squash", shape[2]) for image in images])
    return (sized.astype(np.int16) - 128).astype(np.int8)


def _noise(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    low, high = np.sort(generator.integers(-128, 129, 2))
    return generator.integers(low, high + 1, shape).clip(-128, 127).astype(np.int8)


def _smooth(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    waves = generator.uniform(0.01, 0.3, (2, channels))
    phases = generator.uniform(0, 2 * np.pi, channels)
    angles = y[..., None] * waves[0] + x[..., None] * waves[1] + phases
    return np.rint(127 * np.sin(angles)).astype(np.int8)


def _blocks(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = shape
    size = int(generator.integers(2, 13))
    coarse = generator.integers(-128, 128, (-(-height // size), -(-width // size), channels))
    return coarse.repeat(size, axis=0).repeat(size, axis=1)[:height, :width].astype(np.int8)


def _two_levels(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return np.where(generator.random(shape) < generator.uniform(0.02, 0.5), 127, -128).astype(np.int8)
