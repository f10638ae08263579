"""Draws fruits and clutter of the demo data set. Each object is a sprite of a given span on a small patch.

Clutter has colours and shapes of fruits. Therefore colour alone or shape alone cannot tell a fruit from a ball or a
carrot.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from block.demo.matter import (
    LEAF_COLOURS,
    PAINTS,
    WOODS,
    Body,
    Light,
    Sprite,
    Tube,
    bent_tube,
    bump,
    dent,
    linear_rgb,
    mix,
    noise,
    pick,
    pixel_grid,
    round_body,
    shade,
    tube_normal,
    turned,
)

VARIETIES = 6
"""The number of rows in each fruit's colour table. All fruits of one photo have the same variety."""

# Colours in sRGB 0..255. Each apple has a ground colour, a blush colour and a share of blush.
APPLES = (
    ((196, 150, 60), (158, 18, 24), 1.0),
    ((206, 170, 70), (186, 30, 34), 0.72),
    ((170, 70, 50), (122, 14, 26), 0.95),
    ((142, 178, 52), (150, 176, 60), 0.2),
    ((172, 192, 80), (196, 74, 44), 0.45),
    ((222, 196, 84), (214, 150, 60), 0.3),
)
ORANGES = ((236, 128, 14), (228, 108, 10), (240, 150, 30), (228, 118, 20), (224, 144, 40), (226, 150, 34))
BANANAS = ((236, 196, 52), (240, 208, 84), (226, 178, 40), (204, 196, 62), (184, 190, 66), (216, 168, 50))
DARK_TIP = (62, 42, 24)
STEM = (84, 60, 34)


def plate(generator: Generator, span: float, light: Light) -> Sprite:
    """A plate `span` canvas pixels wide, seen at an angle. Other objects lie on it."""
    tilt = generator.uniform(0.6, 1.0)
    x, y = (grid / (span / 2) for grid in pixel_grid(span * tilt, span))
    radius = np.hypot(x, y / tilt)
    slope = 0.5 * np.exp(-(((radius - 0.64) / 0.05) ** 2)) - 0.6 * np.exp(-(((radius - 0.98) / 0.04) ** 2))
    normal = np.stack([-x * slope, -y * slope, np.ones_like(x)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    ring = (np.abs(radius - generator.uniform(0.75, 0.92)) < generator.uniform(0.01, 0.06)).astype(float)
    albedo = mix(pick(generator, (*PAINTS, *((232, 230, 224),) * 12)), pick(generator, PAINTS), ring)
    return Sprite(shade(albedo, normal, light, 0.12, 40), np.clip((1 - radius) * span / 2, 0, 1), 0.04)


def _apple(generator: Generator, span: float, light: Light, variety: int) -> Sprite:
    shoulder, taper = generator.uniform(0.1, 0.2), generator.uniform(0.02, 0.1)
    body = round_body(
        generator,
        span,
        lambda a: (
            1
            - shoulder * np.exp(-((a / 0.4) ** 2))
            - taper * (a / np.pi) ** 2
            - 0.08 * np.exp(-(((np.pi - a) / 0.3) ** 2))
        ),
    )
    dent(body, 1.0, 0.05)
    ground, blush, share = APPLES[variety]
    streaks = noise(generator, (1, 512), 1, 26)[0][((body.longitude / np.pi + 1) * 255.5).astype(int)]
    patches = noise(generator, body.alpha.shape, 2, 2)
    red = np.clip(share * 1.5 + 0.45 * patches + 0.25 * streaks - 0.9 * np.exp((body.latitude - 1) / 0.1) - 0.25, 0, 1)
    albedo = mix(linear_rgb(ground), linear_rgb(blush), red)
    dots = generator.random(body.alpha.shape) > 0.988
    albedo = mix(albedo, linear_rgb((226, 206, 150)), 0.35 * dots)
    albedo *= (1 - 0.75 * np.exp((np.abs(body.latitude) - 1) / 0.025))[..., None]
    colour = shade(albedo, body.normal, light, generator.uniform(0.15, 0.6), generator.uniform(18, 70))
    return _with_stem(generator, Sprite(colour, body.alpha), body, span, generator.uniform(0.2, 0.42), 0.5)


def _orange(generator: Generator, span: float, light: Light, variety: int) -> Sprite:
    flat = generator.uniform(-0.02, 0.07)
    body = round_body(generator, span, lambda a: 1 - flat * np.cos(a) ** 2)
    dent(body, 0.35, 0.02)
    shape = body.alpha.shape
    pits = noise(generator, shape, 48, 48, 1)
    normal = bump(body.normal, pits, generator.uniform(0.04, 0.1) * span / 40)
    tone = 1 + 0.12 * noise(generator, shape, 2, 2) + 0.05 * np.minimum(pits, 0)
    albedo = linear_rgb(ORANGES[variety]) * tone[..., None]
    star = 0.965 + 0.012 * np.cos(5 * body.longitude)
    albedo = mix(albedo, linear_rgb((92, 104, 48)), np.clip((body.latitude - star) * 120, 0, 1))
    albedo = mix(albedo, linear_rgb((110, 66, 24)), 0.6 * np.clip((-body.latitude - 0.985) * 200, 0, 1))
    sprite = Sprite(shade(albedo, normal, light, generator.uniform(0.1, 0.35), generator.uniform(10, 26)), body.alpha)
    return _with_stem(generator, sprite, body, span, 0.0, 0.35)


def _with_stem(
    generator: Generator, sprite: Sprite, body: Body, span: float, length: float, leaf_share: float
) -> Sprite:
    """Adds a stem of `length` (share of the radius) and sometimes a leaf, if the stem's pole is visible."""
    if body.axis[2] < -0.1:
        return sprite
    foot = body.axis[:2] * (0.86 if length else 0.97)
    tip = foot + body.axis[:2] * length + generator.normal(0, 0.06, 2)
    along = np.clip(
        ((body.x - foot[0]) * (tip - foot)[0] + (body.y - foot[1]) * (tip - foot)[1])
        / max((tip - foot) @ (tip - foot), 1e-4),
        0,
        1,
    )
    distance = np.hypot(body.x - foot[0] - along * (tip - foot)[0], body.y - foot[1] - along * (tip - foot)[1])
    stem = np.clip((0.05 + 0.02 * along - distance) * span / 2 + 0.5, 0, 1) * bool(length)
    colour = mix(sprite.colour, linear_rgb(STEM) * generator.uniform(0.6, 1.3), stem)
    alpha = np.maximum(sprite.alpha, stem)
    if generator.random() < leaf_share:
        leaf, angle = generator.uniform(0.45, 0.75), generator.uniform(-np.pi, 0)
        x, y = (body.x - tip[0]) / leaf, (body.y - tip[1]) / leaf
        blade, shadowing = _leaf_shape(x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))
        blade = np.clip(blade * leaf * span / 2, 0, 1)
        colour = mix(colour, pick(generator, LEAF_COLOURS[:3]) * shadowing[..., None], blade)
        alpha = np.maximum(alpha, blade)
    return Sprite(colour, alpha)


def _banana(generator: Generator, span: float, light: Light, variety: int) -> Sprite:
    t = np.linspace(0, 1, 28)
    bend, view = generator.uniform(1.2, 2.2), generator.uniform(0.65, 1.0)
    heading = bend * (t - 0.45) * (1.2 - 0.4 * t)
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading) * view], -1), axis=0) / len(t) * span
    shape = np.interp(
        t,
        (0, 0.07, 0.13, 0.22, 0.4, 0.6, 0.78, 0.9, 0.965, 1),
        (0.24, 0.22, 0.3, 0.62, 0.95, 1.0, 0.88, 0.6, 0.32, 0.24),
    )
    tube = bent_tube(turned(generator, points), shape * span * generator.uniform(0.095, 0.125))
    angle = np.arcsin(tube.across)
    ridge = generator.uniform(0, 2 * np.pi)
    normal = tube_normal(tube, angle - 0.22 * np.sin(4 * angle + ridge))
    albedo = _banana_skin(generator, tube, variety, np.cos(4 * angle + ridge))
    return Sprite(shade(albedo, normal, light, generator.uniform(0.04, 0.16), 14), tube.alpha, 0.25)


def _banana_skin(generator: Generator, tube: Tube, variety: int, ridges: np.ndarray) -> np.ndarray:
    shape = tube.alpha.shape
    green = np.clip(1 - tube.along / 0.3, 0, 1) * generator.uniform(0.1, 0.9)
    green += np.clip((tube.along - 0.85) / 0.15, 0, 1) * 0.4
    albedo = mix(linear_rgb(BANANAS[variety]), linear_rgb((132, 150, 50)), np.clip(green, 0, 1))
    albedo = albedo * (1 + 0.08 * ridges + 0.08 * noise(generator, shape, 3, 3))[..., None]
    spots = np.clip((noise(generator, shape, 12, 12, 2) - generator.uniform(0.5, 1.4)) * 6, 0, 1)
    albedo = mix(albedo, linear_rgb((92, 56, 24)), spots * 0.8)
    tips = np.clip((tube.along - 0.965) * 60, 0, 1) + np.clip((0.03 - tube.along) * 60, 0, 1)
    return mix(albedo, linear_rgb(DARK_TIP), np.clip(tips, 0, 1))


def _ball(generator: Generator, span: float, light: Light) -> Sprite:
    """A toy ball in a fruit's colours. Its printed pattern shows that it is not a fruit."""
    body = round_body(generator, span * 0.8, np.ones_like, 0.5)
    u, v = body.latitude, body.longitude
    patterns = (
        np.sin(3 * v) > 0,
        np.abs(np.sin(4 * u)) > 0.75,
        np.minimum(np.abs(u), 0.5 * np.abs(np.sin(2 * v))) < 0.07,
        np.abs(u - 0.5 * np.sin(2 * v)) < 0.13,
    )
    printed = patterns[int(generator.integers(len(patterns)))].astype(np.float32)
    albedo = mix(pick(generator, PAINTS[:6]), pick(generator, PAINTS[6:9]), printed)
    return Sprite(shade(albedo, body.normal, light, generator.uniform(0.05, 0.6), 60), body.alpha)


def _lemon(generator: Generator, span: float, light: Light) -> Sprite:
    tip = generator.uniform(0.25, 0.4)
    body = round_body(
        generator,
        span * 0.62,
        lambda a: (
            0.88 + 0.12 * np.cos(a) ** 2 + tip * (np.exp(-((a / 0.22) ** 2)) + np.exp(-(((np.pi - a) / 0.2) ** 2)))
        ),
        0.5,
    )
    normal = bump(body.normal, noise(generator, body.alpha.shape, 30, 30, 1), span / 700)
    albedo = np.broadcast_to(pick(generator, ((238, 210, 60), (226, 190, 40), (136, 170, 50))), normal.shape)
    return Sprite(shade(albedo, normal, light, 0.25, 20), body.alpha)


def _stick(generator: Generator, span: float, light: Light) -> Sprite:
    """A twig, a pen, a pencil or a carrot. It is long and often in a fruit's colours, but not bent like a banana."""
    t = np.linspace(0, 1, 16)
    kind = int(generator.integers(4))
    points = np.stack([(t - 0.5) * span * 1.7, np.zeros_like(t)], -1)
    thickness = np.full_like(t, span * generator.uniform(0.035, 0.07))
    colour, gloss = pick(generator, PAINTS), 0.4
    if kind == 0:
        points[:, 1] = span * 0.06 * noise(generator, (1, 16), 1, 4)[0]
        colour, gloss = pick(generator, WOODS[:4]) * 0.6, 0.0
    elif kind == 1:
        thickness = span * generator.uniform(0.1, 0.16) * (1 - 0.75 * t)
        colour, gloss = pick(generator, ((232, 116, 30), (222, 100, 24))), 0.1
    tube = bent_tube(turned(generator, points), thickness)
    rough = 1 + (0.3 if kind == 0 else 0.06) * noise(generator, tube.alpha.shape, 8, 8)
    albedo = colour * rough[..., None]
    if kind >= 2:
        albedo = mix(albedo, pick(generator, PAINTS[6:]), (tube.along > generator.uniform(0.6, 0.85)).astype(float))
    return Sprite(shade(albedo, tube_normal(tube, np.arcsin(tube.across)), light, gloss, 30), tube.alpha, 0.08)


def _leaf_shape(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A leaf from (0, 0) to (1, 0): each point's distance inside the edge, and the tone of the halves and veins."""
    edge = 0.62 * np.clip(x, 0, 1) ** 0.8 * np.clip(1 - x, 0, 1) ** 0.9
    veins = 0.12 * np.sin(34 * x - 30 * np.abs(y)) + 0.5 * (np.abs(y) < 0.018)
    return edge - np.abs(y), 1 + 0.25 * np.sign(y) + veins


def _leaf(generator: Generator, span: float, light: Light) -> Sprite:
    x, y = pixel_grid(span, span)
    angle = generator.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) / span + 0.5
    across = (y * np.cos(angle) - x * np.sin(angle)) / span * generator.uniform(0.9, 1.6)
    inside, tone = _leaf_shape(along, across + 0.08 * np.sin(3 * along))
    mottle = 1 + 0.15 * noise(generator, x.shape, 5, 5)
    albedo = pick(generator, LEAF_COLOURS) * (tone * mottle)[..., None]
    return Sprite(albedo * (0.8 + 0.2 * light.ambient), np.clip(inside * span, 0, 1), 0.06)


def _cup(generator: Generator, span: float, light: Light) -> Sprite:
    x, y = (grid / (span / 2) for grid in pixel_grid(span * 1.1, span * 1.15))
    tilt, taper, top, bottom = generator.uniform(0.3, 0.6), generator.uniform(0, 0.2), -0.5, generator.uniform(0.3, 0.6)
    width = 0.72 * (1 - taper * np.clip((y - top) / (bottom - top), 0, 1))
    across = np.clip(x / width, -1, 1)
    mouth, foot = 1 - np.hypot(x / 0.72, (y - top) / 0.72 / tilt), 1 - np.hypot(x / width, (y - bottom) / width / tilt)
    wall = np.where((y > top) & (y < bottom), 1 - np.abs(x / width), -1.0)
    handle = 0.07 - np.abs(np.hypot(x - 0.72, (y - (top + bottom) / 2) * 0.9) - 0.26)
    alpha = np.clip(np.maximum.reduce([mouth, foot, wall, handle * 1.4]) * span * 0.36, 0, 1)
    normal = np.stack([across, 0.25 * np.ones_like(x), np.sqrt(1.0001 - across**2)], -1)
    paint, drink = pick(generator, PAINTS), pick(generator, ((66, 38, 20), (150, 90, 40), (210, 206, 196)))
    band = (np.abs(y - 0.1) < generator.uniform(0, 0.25)).astype(float)
    colour = shade(mix(paint, pick(generator, PAINTS), band), normal, light, 0.3, 40)
    colour = mix(colour, paint * 1.1, np.clip(mouth * 40, 0, 1))
    return Sprite(mix(colour, drink * 0.8, np.clip((mouth - 0.12) * 40, 0, 1)), alpha, 0.5)


def _carton(generator: Generator, span: float, light: Light) -> Sprite:
    """A box with a lid, a front and a printed label."""
    size, ranges = int(span), ((0.5, 0.8), (0.2, 0.6), (0.1, 0.3), (-0.15, 0.15))
    width, height, depth, skew = (generator.uniform(*bounds) * span for bounds in ranges)
    left, right, top = (span - width) / 2, (span + width) / 2, (span - height + depth) / 2
    tones, label = Image.new("F", (size, size)), Image.new("F", (size, size))
    lid = [(left, top), (right, top), (right + skew, top - depth), (left + skew, top - depth)]
    ImageDraw.Draw(tones).polygon(lid, fill=1.05)
    front = float(0.55 + 0.4 * light.direction[1] + 0.2 * light.ambient)
    ImageDraw.Draw(tones).rectangle([left, top, right, top + height], fill=front)
    (x0, y0), (x1, y1) = generator.uniform(0.1, 0.45, 2), generator.uniform(0.55, 0.9, 2)
    corners = [left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height]
    ImageDraw.Draw(label).rectangle(corners, fill=1)
    tone = np.asarray(tones)
    albedo = mix(pick(generator, PAINTS), pick(generator, PAINTS), np.asarray(label))
    return Sprite(albedo * tone[..., None], (tone > 0).astype(np.float32), 0.35)


FRUITS: dict[str, tuple[Callable[[Generator, float, Light, int], Sprite], tuple[float, float]]] = {
    "apple": (_apple, (0.24, 0.5)),
    "banana": (_banana, (0.42, 0.85)),
    "orange": (_orange, (0.24, 0.5)),
}
"""For each kind, the function that draws it, and its smallest and largest span as a share of the photo's side.

The function takes the span in canvas pixels and the variety, 0..VARIETIES - 1.
"""
CLUTTER: tuple[tuple[Callable[[Generator, float, Light], Sprite], tuple[int, ...]], ...] = (
    *((_ball, (1,)), (_lemon, (1,)), (_cup, (1,)), (_cup, (1,)), (_carton, (1,))),
    *((_stick, (0, 0, 2)), (_stick, (0, 0, 2)), (_leaf, (0, 2)), (_leaf, (0, 2))),
)
"""The functions that draw other objects, and the layers in which each object may lie."""
