"""Composes a scene of the demo data set: places objects, paints them with shadows, computes boxes and takes the photo.

Clutter, size, light and overlap make the scenes difficult. The labels are always right. The canvas is larger than the
photo. The defects of a camera (defocus, noise, vignette, JPEG) are added last, as in a real camera.
"""

import io
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageFilter, ImageOps

from block.demo.grounds import background
from block.demo.matter import Light, Sprite, pixel_grid, random_light, to_image
from block.demo.things import CLUTTER, FRUITS, VARIETIES, plate

SIZE_PX = 160
"""Default side of a photo. The defocus is defined for this size and is scaled for other sizes."""
SUPERSAMPLING = 1.5
"""Canvas pixels per photo pixel."""
MIN_VISIBLE = 0.62
"""The least share of a fruit that is inside the photo and not covered, so that a person can recognise it."""
MAX_FRUITS = 3
FRUIT_MARGIN = 0.42
"""Least distance from a fruit's centre to the photo's edge, as a share of the fruit's size."""
CLUTTER_COUNT = (3, 8)
"""The range of the number of other objects in a scene: the minimum, and the maximum + 1."""
SHADOW_SCALE = 4
"""Canvas pixels per shadow pixel. Shadows are soft, so that a low resolution is enough and saves time."""


class Box(NamedTuple):
    """A box in whole photo pixels. The left column and the top row are inside. `xmax` and `ymax` are just outside."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


@dataclass(frozen=True)
class Item:
    """A sprite at a position: its patch starts at canvas pixel (x, y)."""

    sprite: Sprite
    x: int
    y: int
    is_fruit: bool
    layer: int  # 0 lies under everything, 1 stands on the ground, 2 lies on top

    @cached_property
    def mask(self) -> np.ndarray:
        return self.sprite.alpha > 0.5

    @cached_property
    def depth(self) -> tuple[int, int]:
        """The sort key for painting. Within a layer, an object with a lower foot is nearer and is painted later."""
        return self.layer, self.y + int(np.flatnonzero(self.mask.any(axis=1))[-1])


def compose(kind: str, generator: Generator, side: int) -> tuple[np.ndarray, list[Item]]:
    """Composes and paints a scene. Returns the canvas (side, side, 3) in linear RGB and the items in painting order.

    `side` is in canvas pixels.
    """
    light = random_light(generator)
    canvas, horizon = background(generator, side)
    items = _lay_fruits(generator, kind, side, horizon, light)
    if generator.random() < 0.3:
        _lay(items, generator, plate(generator, side * generator.uniform(0.5, 0.85), light), side, horizon, 0)
    for _ in range(generator.integers(*CLUTTER_COUNT)):
        draw, layers = CLUTTER[int(generator.integers(len(CLUTTER)))]
        sprite = draw(generator, side * generator.uniform(0.15, 0.4), light)
        _lay(items, generator, sprite, side, horizon, layers[int(generator.integers(len(layers)))])
    items.sort(key=lambda item: item.depth)
    for item in items:
        paint(canvas, item, light)
    return canvas, items


def visible_shares(items: list[Item], side: int) -> list[float]:
    """The share of each fruit that is inside the photo and not covered. The fruits are in painting order."""
    seen = np.zeros((side, side), np.int16)
    ordered = sorted(items, key=lambda item: item.depth)
    for number, item in enumerate(ordered, 1):
        on_canvas, on_sprite = _overlap(side, item.mask.shape, item.x, item.y)
        seen[on_canvas][item.mask[on_sprite]] = number
    counts = np.bincount(seen.ravel(), minlength=len(ordered) + 1)
    return [counts[n] / item.mask.sum() for n, item in enumerate(ordered, 1) if item.is_fruit]


def paint(canvas: np.ndarray, item: Item, light: Light) -> None:
    """Paints the item and its shadow onto `canvas`, (side, side, 3) linear RGB."""
    _cast_shadow(canvas, item, light)
    on_canvas, on_sprite = _overlap(len(canvas), item.mask.shape, item.x, item.y)
    region = canvas[on_canvas]
    region += item.sprite.alpha[on_sprite][..., None] * (item.sprite.colour[on_sprite] - region)


def tight_box(item: Item, side: int) -> Box:
    """The box around the item's mask in photo pixels, cut to the canvas of `side` canvas pixels."""
    columns, rows = np.flatnonzero(item.mask.any(axis=0)) + item.x, np.flatnonzero(item.mask.any(axis=1)) + item.y
    edges = np.clip([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], 0, side) / SUPERSAMPLING
    return Box(int(edges[0]), int(edges[1]), int(np.ceil(edges[2])), int(np.ceil(edges[3])))


def photograph(canvas: np.ndarray, generator: Generator, size_px: int) -> Image.Image:
    """Simulates a camera: exposure, colour temperature, vignette, defocus, sensor noise and a first JPEG compression.

    Takes linear RGB (side, side, 3) and returns an RGB image of `size_px` x `size_px` pixels.
    """
    warmth, tint = np.clip(generator.normal(0, 0.1), -0.18, 0.15), generator.normal(0, 0.03)
    exposure = np.clip(generator.normal(0.15, 0.3), -0.35, 0.7)
    gain = np.exp(exposure + np.array([warmth, tint, -warmth])).astype(np.float32)
    x, y = pixel_grid(*canvas.shape[:2])
    vignette = 1 - np.float32(generator.uniform(0, 0.9)) * (x**2 + y**2) / len(canvas) ** 2
    exposed = canvas * vignette[..., None] * gain
    exposed /= 1 + 0.25 * exposed**2  # compresses highlights, so that they are not clipped
    photo = to_image(exposed).resize((size_px, size_px), Image.Resampling.BOX)
    photo = photo.filter(ImageFilter.GaussianBlur(min(generator.gamma(1.5, 0.3), 1.1) * size_px / SIZE_PX))
    level = min(np.exp(generator.normal(0.7, 0.6)), 7)
    grain = generator.standard_normal((size_px, size_px, 4), np.float32) * np.float32(level)
    noisy = Image.fromarray(np.clip(np.asarray(photo) + grain[..., :3] + grain[..., 3:], 0, 255).astype(np.uint8))
    return _recompressed(noisy, int(generator.integers(55, 93)))


def _lay_fruits(generator: Generator, kind: str, side: int, horizon: float, light: Light) -> list[Item]:
    draw, (smallest, largest) = FRUITS[kind]
    items: list[Item] = []
    span, variety = side * generator.uniform(smallest, largest), int(generator.integers(VARIETIES))
    for _ in range(generator.integers(1, MAX_FRUITS + 1)):
        sprite = draw(generator, span * generator.uniform(0.92, 1.08), light, variety)
        _lay(items, generator, sprite, side, horizon, 1, is_fruit=True)
    return items


def _lay(
    items: list[Item],
    generator: Generator,
    sprite: Sprite,
    side: int,
    horizon: float,
    layer: int,
    is_fruit: bool = False,
) -> None:
    """Adds the sprite at a random position where every fruit stays visible. Skips it if 8 positions fail."""
    height, width = sprite.alpha.shape
    margin = FRUIT_MARGIN if is_fruit else 0.1
    for _ in range(8):
        x = generator.uniform(margin * width, side - margin * width) - width / 2
        y = generator.uniform(margin * height, side - margin * height)
        item = Item(sprite, int(x), int(max(y, horizon) - height / 2), is_fruit, layer)
        if _fruits_stay_visible([*items, item], side):
            items.append(item)
            return


def _fruits_stay_visible(items: list[Item], side: int) -> bool:
    return all(share >= MIN_VISIBLE for share in visible_shares(items, side))


def _overlap(side: int, shape: tuple[int, ...], x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a patch at (x, y) that is on the canvas, as slices of the canvas and slices of the patch."""
    top, left = max(y, 0), max(x, 0)
    bottom, right = max(min(y + shape[0], side), top), max(min(x + shape[1], side), left)
    return (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))


def _cast_shadow(canvas: np.ndarray, item: Item, light: Light) -> None:
    """Paints a long soft shadow away from the light, and a narrow dark shadow where the object touches the ground."""
    reach = item.sprite.height * item.sprite.alpha.shape[1] / SHADOW_SCALE
    away = -light.direction / light.direction[2] * reach
    pad = int(np.hypot(away[0], away[1]) + 0.2 * reach) + 2
    shape = Image.fromarray((item.sprite.alpha * 255).astype(np.uint8)).reduce(SHADOW_SCALE)
    shape = ImageOps.expand(shape, pad)
    lit: np.ndarray = np.ones((shape.height, shape.width), np.float32)
    for distance, softness, depth in ((0.75, 0.07, 0.75), (0.12, 0.03, 0.7)):
        moved = ImageChops.offset(shape, int(away[0] * distance), int(away[1] * distance))
        blurred = np.asarray(moved.filter(ImageFilter.GaussianBlur(softness * reach + 0.3)), np.float32)
        lit = lit * (1 - blurred * (depth * (1 - light.ambient) / 255))
    full = (shape.width * SHADOW_SCALE, shape.height * SHADOW_SCALE)
    lit = np.asarray(Image.fromarray(lit).resize(full, Image.Resampling.BILINEAR))
    on_canvas, on_shadow = _overlap(len(canvas), lit.shape, item.x - pad * SHADOW_SCALE, item.y - pad * SHADOW_SCALE)
    canvas[on_canvas] *= lit[on_shadow][..., None]


def _recompressed(photo: Image.Image, quality: int) -> Image.Image:
    stored = io.BytesIO()
    photo.save(stored, "JPEG", quality=quality)
    return Image.open(stored).convert("RGB")
