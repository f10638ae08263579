"""Draws the grounds of the demo photos: wood, cloth, stone, tiles or grass, from above or as a table in a room."""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from block.demo.matter import LEAF_COLOURS, PAINTS, WOODS, from_image, ink, linear_rgb, mix, noise, pick, to_image

# sRGB 0..255.
CLOTHS = ((214, 210, 200), (120, 140, 166), (160, 60, 60), (96, 112, 84), (206, 176, 120), (70, 70, 80))
STONES = ((150, 148, 144), (204, 200, 192), (78, 80, 86), (168, 146, 122))


def background(generator: Generator, side: int) -> tuple[np.ndarray, float]:
    """A lit ground (side, side, 3) in linear RGB, and the highest row on which an object may stand (0: any row).

    `side` and the row are in canvas pixels.
    """
    draw = GROUNDS[int(generator.integers(len(GROUNDS)))]
    ground = to_image(draw(generator, (side, side)))
    if generator.random() < 0.4:
        horizon = generator.uniform(0.08, 0.32) * side
        canvas = _lit(generator, _in_perspective(ground, generator, side))
        _add_wall(generator, canvas, int(horizon))
        return canvas, horizon * 1.15
    return _lit(generator, _from_above(ground, generator.uniform(0, 2 * np.pi), side)), 0.0


def _from_above(ground: Image.Image, angle: float, side: int) -> Image.Image:
    scale = ground.width / side / np.sqrt(2)
    a, b, middle = np.cos(angle) * scale, np.sin(angle) * scale, ground.width / 2
    data = (a, b, middle - (a + b) * side / 2, -b, a, middle - (a - b) * side / 2)
    return ground.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


def _in_perspective(ground: Image.Image, generator: Generator, side: int) -> Image.Image:
    """The ground as a table seen from its edge. The rows at the bottom are near and therefore large."""
    near, scale = generator.uniform(0.5, 1.5) / side, ground.width / side
    data = (scale, near * ground.width / 2, 0, 0, scale * 1.3, 0, 0, near)
    return ground.transform((side, side), Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)


def _lit(generator: Generator, ground: Image.Image) -> np.ndarray:
    """Adds uneven light to a texture, and sometimes the shade of a window or a tree."""
    shape = (ground.height, ground.width)
    light = 1 + 0.25 * noise(generator, shape, 1, 1, 1)
    if generator.random() < 0.3:
        dapple = np.clip(noise(generator, shape, 3, 3, 2) * 3 + 0.6, 0, 1)
        light *= 1 - generator.uniform(0.2, 0.55) * dapple
    return from_image(ground) * light[..., None]


def _add_wall(generator: Generator, canvas: np.ndarray, horizon: int) -> None:
    """Draws a defocused room behind the table, above row `horizon`."""
    side = len(canvas)
    room = Image.new("RGB", (side, horizon + 20), ink(generator, (*CLOTHS, *STONES, *WOODS)))
    draw = ImageDraw.Draw(room)
    for _ in range(generator.integers(3, 12)):
        x, y = generator.uniform(-0.1, 0.9, 2) * room.size
        width, height = generator.uniform(0.03, 0.35), generator.uniform(0.1, 0.6)
        shape = draw.rectangle if generator.random() < 0.7 else draw.ellipse
        shape([x, y, x + width * side, y + height * side], fill=ink(generator, (*PAINTS, *WOODS, *WOODS, *STONES)))
    blurred = room.filter(ImageFilter.GaussianBlur(generator.uniform(0.015, 0.04) * side)).crop((0, 0, side, horizon))
    canvas[:horizon] = from_image(blurred) * np.linspace(1.0, generator.uniform(0.4, 1), horizon)[:, None, None]
    canvas[horizon : horizon + 4] *= 0.7


def _wood(generator: Generator, shape: tuple[int, int]) -> np.ndarray:
    grain = noise(generator, shape, 60, 2, 2) + 0.6 * np.sin(9 * noise(generator, shape, 5, 1, 2))
    board = (np.arange(shape[0]) / shape[0] * generator.integers(3, 9)) + generator.random()
    tones = generator.uniform(0.75, 1.2, 12)[board.astype(int)] * np.where(board % 1 < 0.035, 0.35, 1.0)
    return pick(generator, WOODS) * ((1 + 0.17 * grain) * tones[:, None])[..., None]


def _cloth(generator: Generator, shape: tuple[int, int]) -> np.ndarray:
    first, second = pick(generator, CLOTHS), pick(generator, (*CLOTHS, *PAINTS))
    stripes = generator.integers(6, 22)
    wave = np.sin(np.linspace(0, 2 * np.pi * stripes, shape[0])) > generator.uniform(-0.2, 0.8)
    check = np.add.outer(wave, wave * generator.integers(0, 2)) / 2.0
    thread = np.add.outer(np.sin(np.arange(shape[0]) * 1.9), np.sin(np.arange(shape[1]) * 1.9))
    folds = 0.22 * noise(generator, shape, 2, 4, 2)
    return mix(first, second, check * 0.8) * (1 + 0.05 * thread + folds)[..., None]


def _stone(generator: Generator, shape: tuple[int, int]) -> np.ndarray:
    clouds = 0.14 * noise(generator, shape, 4, 4, 5)
    cracks = noise(generator, shape, 3, 3, 4) * generator.uniform(4, 12)
    veins = np.exp(-(cracks**2)) * generator.uniform(-0.3, 0.3)
    grit = generator.normal(0, generator.uniform(0.02, 0.14), shape)
    return pick(generator, STONES) * (1 + clouds + veins + grit)[..., None]


def _tiles(generator: Generator, shape: tuple[int, int]) -> np.ndarray:
    count = generator.integers(4, 10)
    row = np.arange(shape[0]) / shape[0] * count
    joint = np.minimum.outer(row % 1, row % 1) < 0.05
    tones = generator.uniform(0.85, 1.1, (12, 12))[np.ix_(row.astype(int), row.astype(int))]
    glaze = _stone(generator, shape) if generator.random() < 0.5 else np.ones((*shape, 3)) * pick(generator, CLOTHS)
    return mix(glaze * tones[..., None], linear_rgb((150, 146, 138)), joint * 0.9)


def _grass(generator: Generator, shape: tuple[int, int]) -> np.ndarray:
    soil = pick(generator, ((72, 72, 40), (60, 56, 36))) * (1 + 0.3 * noise(generator, shape, 6, 6))[..., None]
    image = to_image(soil)
    draw = ImageDraw.Draw(image)
    greens = [ink(generator, LEAF_COLOURS[:3]) for _ in range(12)]
    for x, y, lean, length in generator.uniform((0, 0, -12, 8), (shape[1], shape[0], 12, 30), (700, 4)):
        draw.line([x, y, x + lean, y - length], fill=greens[int(x) % 12], width=1 + int(y) % 3)
    return from_image(image)


GROUNDS = (_wood, _wood, _cloth, _cloth, _stone, _tiles, _grass)
"""The functions that draw a ground. A function that is listed twice is chosen twice as often."""
