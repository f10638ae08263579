"""Seeded test inputs for a network's arithmetic: extreme values, noise, smooth and blocky images."""

import numpy as np

SEED = 2


def patterns(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """int8 inputs (count, height, width, channels): black, white and grey, then four kinds of drawn images in turn."""
    generator = np.random.default_rng(SEED)
    makers = (_noise, _smooth, _blocks, _two_levels)
    plain = [np.full(shape, level, np.int8) for level in (-128, 127, 0)]
    drawn = [makers[number % len(makers)](generator, shape) for number in range(max(count - len(plain), 0))]
    return np.stack([*plain, *drawn][:count])


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
