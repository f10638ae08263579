"""Light and shapes for the demo photos: colours, noise, round and bent bodies, and shading.

Light is added in linear RGB, where 1 is the light that a flat white ground reflects. Only the colour tables are in
sRGB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

GAMMA = 2.2
"""Gamma of the photos: sRGB / 255 = linear ** (1 / GAMMA), a close approximation of the sRGB curve."""

# sRGB 0..255, for several kinds of objects.
LEAF_COLOURS = ((52, 92, 34), (74, 116, 44), (104, 138, 52), (150, 140, 46), (178, 110, 38), (160, 52, 34))
PAINTS = (
    *((206, 34, 34), (228, 108, 18), (240, 200, 48), (150, 180, 60), (120, 20, 28), (232, 140, 40)),
    *((40, 84, 150), (236, 232, 222), (40, 42, 46), (70, 130, 120), (150, 110, 160), (196, 160, 120)),
)
WOODS = ((150, 104, 64), (112, 72, 44), (186, 146, 100), (92, 74, 60), (206, 178, 138), (132, 124, 112))


@dataclass(frozen=True)
class Light:
    """The light of one scene: a sun and a sky."""

    direction: np.ndarray  # unit vector towards the sun: x right, y down, z to the camera
    ambient: float  # share of the light on a flat ground that comes from the sky


@dataclass(frozen=True)
class Sprite:
    """One drawn object on a patch of H x W canvas pixels."""

    colour: np.ndarray  # (H, W, 3) linear RGB
    alpha: np.ndarray  # (H, W) 0..1
    height: float = 0.5  # height above the ground, as a share of the sprite's width; it sets the length of the shadow


def random_light(generator: Generator) -> Light:
    """A sun on the side of the photo's upper edge, at least 42 degrees high, and 25 to 70 % light from the sky."""
    angle, slope = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 1.1)
    direction = np.array([np.cos(angle) * slope, -abs(np.sin(angle)) * slope, 1.0])
    return Light((direction / np.linalg.norm(direction)).astype(np.float32), generator.uniform(0.25, 0.7))


def shade(
    albedo: np.ndarray, normal: np.ndarray, light: Light, gloss: float = 0.0, sharpness: float = 25.0
) -> np.ndarray:
    """Shades a surface with Lambert light, sky light and a Blinn highlight. Returns (H, W, 3) linear RGB.

    A flat ground receives light of 1. `albedo` is linear RGB (3,) or (H, W, 3), and `normal` holds unit vectors
    (H, W, 3). `gloss` (0..1) is the strength of the highlight, and `sharpness` is its exponent.
    """
    sun = (1 - light.ambient) * np.maximum(normal @ light.direction, 0) / light.direction[2]
    sky = light.ambient * (0.45 + 0.55 * normal[..., 2])
    halfway = light.direction + np.array([0, 0, 1], np.float32)
    shine = np.maximum(normal @ (halfway / np.linalg.norm(halfway)), 0) ** sharpness
    return albedo * (sun + sky)[..., None] + (gloss * shine)[..., None]


def linear_rgb(rgb: Sequence[float] | np.ndarray) -> np.ndarray:
    """Converts sRGB 0..255 of any shape to linear RGB 0..1, float32."""
    return (np.asarray(rgb, np.float32) / 255) ** GAMMA


def to_image(linear: np.ndarray) -> Image.Image:
    """Clips linear RGB (H, W, 3) to 0..1 and converts it to an 8-bit sRGB image."""
    return Image.fromarray((np.clip(linear, 0, 1).astype(np.float32) ** np.float32(1 / GAMMA) * 255).astype(np.uint8))


def from_image(image: Image.Image) -> np.ndarray:
    """Converts an 8-bit sRGB image to linear RGB (H, W, 3) 0..1."""
    return linear_rgb(np.arange(256))[np.asarray(image)]


def mix(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mixes `below` and `above`, (3,) or (H, W, 3) in linear RGB. `share` (H, W), 0..1, is the share of `above`."""
    return below + (above - below) * share.astype(np.float32)[..., None]


def noise(generator: Generator, shape: tuple[int, ...], rows: float, columns: float, octaves: int = 3) -> np.ndarray:
    """A smooth random field (H, W), about -1..1. Its coarsest octave has `rows` x `columns` blobs."""
    field = Image.new("F", (1, 1))
    for octave in range(octaves):
        cells = generator.uniform(-1, 1, (int(rows * 2**octave) + 2, int(columns * 2**octave) + 2)) / 2**octave
        coarser = field.resize((cells.shape[1], cells.shape[0]), Image.Resampling.BICUBIC)
        field = Image.fromarray((cells + np.asarray(coarser)).astype(np.float32))
    return np.asarray(field.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def ink(generator: Generator, colours: Sequence[Sequence[float]], spread: float = 14) -> tuple[int, ...]:
    """One of the sRGB colours with random variation (standard deviation `spread`), as three whole numbers 4..250."""
    colour = np.array(colours[int(generator.integers(len(colours)))]) + generator.normal(0, spread, 3)
    return tuple(int(value) for value in np.clip(colour, 4, 250))


def pick(generator: Generator, colours: Sequence[Sequence[float]]) -> np.ndarray:
    """One of the sRGB colours with a small random variation, as linear RGB (3,) 0..1."""
    return linear_rgb(ink(generator, colours))


def pixel_grid(height: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The pixel centres x and y, each (H, W), in pixels from the centre of a patch. Its sides are rounded up."""
    rows, columns = int(np.ceil(height)), int(np.ceil(width))
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    return x - (columns - 1) / 2, y - (rows - 1) / 2


@dataclass
class Body:
    """A round body as the camera sees it. All fields except `axis` have a value for each pixel."""

    x: np.ndarray  # (H, W), -1..1 across the body
    y: np.ndarray
    axis: np.ndarray  # unit vector (3,) from the body's centre to its stem
    alpha: np.ndarray  # 0..1
    normal: np.ndarray  # unit vectors (H, W, 3)
    latitude: np.ndarray  # 1 at the stem, -1 at the other pole
    longitude: np.ndarray  # -pi..pi


def round_body(
    generator: Generator, span: float, profile: Callable[[np.ndarray], np.ndarray], most_tilt: float = 0.9
) -> Body:
    """A round body of `span` pixels with random orientation.

    `profile` takes the angle from the stem in radians (H, W). It returns the radius seen from the side, as a share of
    half the span. `most_tilt` (0..1) is how far the stem may point to the camera. A strong tilt hides patterns and
    tips.
    """
    turn, tilt = generator.normal(-np.pi / 2, 0.8), generator.uniform(-0.3, most_tilt)
    flat = np.sqrt(1 - tilt**2)
    axis = np.array([np.cos(turn) * flat, np.sin(turn) * flat, tilt], np.float32)
    x, y = (grid / (span / 2) for grid in pixel_grid(1.4 * span, 1.4 * span))
    side, distance = np.hypot(axis[0], axis[1]), np.hypot(x, y) + 1e-6
    angle = np.arccos(np.clip((x * axis[0] + y * axis[1]) / (distance * side), -1, 1))
    radius = 1 + side * (profile(angle) - 1)
    alpha = np.clip((1 - distance / radius) * span / 2 + 0.5, 0, 1)
    squeeze = np.maximum(radius, distance)
    normal = np.stack([x / squeeze, y / squeeze, np.sqrt(np.maximum(1 - (distance / squeeze) ** 2, 0))], -1)
    east = np.array([axis[1], -axis[0], 0], np.float32) / side
    longitude = np.arctan2(normal @ np.cross(east, axis), normal @ east)
    return Body(x, y, axis, alpha, normal, normal @ axis, longitude)


def bump(normal: np.ndarray, height: np.ndarray, strength: float) -> np.ndarray:
    """Tilts unit normals (H, W, 3) by the slope of a height map (H, W) in pixels."""
    slope_y, slope_x = np.gradient(height)
    bent = normal - strength * np.stack([slope_x, slope_y, np.zeros_like(slope_x)], -1)
    return bent / np.linalg.norm(bent, axis=-1, keepdims=True)


def dent(body: Body, depth: float, width: float) -> None:
    """Bends the body's normals inwards around both poles. `width` is the extent in latitude, `depth` the strength.

    Both are about 0..1.
    """
    inward = body.axis * np.sign(body.latitude)[..., None] - body.normal * np.abs(body.latitude)[..., None]
    strength = depth * np.exp(-(1 - np.abs(body.latitude)) / width)
    bent = body.normal + inward / (np.linalg.norm(inward, axis=-1, keepdims=True) + 0.05) * strength[..., None]
    body.normal = bent / np.linalg.norm(bent, axis=-1, keepdims=True)


@dataclass
class Tube:
    """A bent rod as the camera sees it. Each field has a value for each pixel: (H, W) unless noted."""

    along: np.ndarray  # 0..1 from one end to the other
    across: np.ndarray  # -1..1 from side to side
    side: np.ndarray  # (H, W, 2) unit vector across
    alpha: np.ndarray  # 0..1


def bent_tube(spine: np.ndarray, radii: np.ndarray) -> Tube:
    """A bent round rod around `spine` (N, 2) with `radii` (N,), all in pixels."""
    low, high = spine.min(0) - radii.max() - 2, spine.max(0) + radii.max() + 2
    spine = (spine - (low + high) / 2).astype(np.float32)
    x, y = pixel_grid(high[1] - low[1], high[0] - low[0])
    squared = (x[..., None] - spine[:, 0]) ** 2 + (y[..., None] - spine[:, 1]) ** 2
    nearest = squared.argmin(-1)
    steps = np.gradient(spine, axis=0)
    spacing = np.linalg.norm(steps, axis=1)
    tangent = (steps / spacing[:, None])[nearest]
    beside = np.stack([x, y], -1) - spine[nearest]
    side = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
    offset = (beside * side).sum(-1)
    # The place is interpolated between two points of the spine. Otherwise the outline would show steps.
    place = np.clip(nearest + (beside * tangent).sum(-1) / spacing[nearest], 0, len(spine) - 1)
    radius = np.interp(place, np.arange(len(spine)), radii).astype(np.float32)
    beyond = (place <= 0) | (place >= len(spine) - 1)
    distance = np.where(beyond, np.hypot(beside[..., 0], beside[..., 1]), np.abs(offset))
    along = (place / (len(spine) - 1)).astype(np.float32)
    return Tube(along, np.clip(offset / radius, -1, 1), side, np.clip(radius - distance + 0.5, 0, 1))


def tube_normal(tube: Tube, angle: np.ndarray) -> np.ndarray:
    """Unit normals (H, W, 3), tilted by `angle` (H, W) in radians from the camera to the tube's side."""
    return np.concatenate([tube.side * np.sin(angle)[..., None], np.cos(angle)[..., None]], -1)


def turned(generator: Generator, points: np.ndarray) -> np.ndarray:
    """Rotates points (N, 2) around (0, 0) by a random angle."""
    angle = generator.uniform(0, 2 * np.pi)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
