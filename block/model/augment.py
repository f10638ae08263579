"""Photo augmentation: random changes that a camera could also have produced. The network learns more from few photos.

An augmentation takes an image (C, size, size) float32 0..1 and its label, and transforms both. Its random numbers come
from torch's generator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from block.data.boxes import LEAST_VISIBLE_SHARE
from block.model.torchvision_compat import import_transforms


@dataclass(frozen=True)
class Strength:
    """Limits of the random changes."""

    turn_degrees: float
    shift: float
    """Share of the image's side."""
    zoom: tuple[float, float]
    """Smallest and largest factor."""
    light: float
    """Share by which brightness, contrast and saturation vary."""


# chosen by cross-validation and on validation photos, see docs/experiments.md
PHOTO_STRENGTH = Strength(20, 0.12, (0.75, 1.25), 0.3)
# weaker, because a few pixels change an object's cell and its size
BOX_STRENGTH = Strength(5, 0.06, (0.9, 1.1), 0.2)

Augment = Callable[[Tensor, Any], tuple[Tensor, Any]]


def photo_augmentation(mirror: bool = True) -> Augment:
    """For classification: rotation, shift, zoom, colour jitter and, if `mirror`, flips. Labels do not change."""
    transforms = _transforms(PHOTO_STRENGTH, mirror)
    return lambda image, label: (transforms(image), label)


def box_augmentation(size: int, mirror: bool = True, transforms: Callable[..., Any] | None = None) -> Augment:
    """For detection: the same with smaller limits. Boxes (n, 5) of class, x, y, width, height in px are moved too.

    A box that leaves the image is cut to its visible part. It is dropped if that part is too small. `transforms`
    replaces this project's transforms; it takes an image and torchvision's bounding boxes.
    """
    transforms = transforms or _transforms(BOX_STRENGTH, mirror)

    def augment(image: Tensor, boxes: np.ndarray) -> tuple[Tensor, np.ndarray]:
        from torchvision.tv_tensors import BoundingBoxes

        edges = torch.from_numpy(boxes[:, 1:].astype(np.float32))
        wrapped = BoundingBoxes(edges, format="XYWH", canvas_size=(size, size), clamping_mode=None)
        image, moved = transforms(image, wrapped)
        return image, visible_boxes(boxes[:, 0], moved.numpy(), size)

    return augment


def visible_boxes(labels: np.ndarray, edges: np.ndarray, size: int) -> np.ndarray:
    """Cuts boxes to the image: `edges` (n, 4) of x, y, width, height to (m, 5) float32 with the label first.

    Boxes whose visible share is below LEAST_VISIBLE_SHARE are dropped.
    """
    start, stop = edges[:, :2], edges[:, :2] + edges[:, 2:]
    inside_start, inside_stop = start.clip(0, size), stop.clip(0, size)
    shares = (inside_stop - inside_start).prod(axis=1) / np.maximum(edges[:, 2:].prod(axis=1), 1e-6)
    boxes = np.concatenate([labels[:, None], inside_start, inside_stop - inside_start], axis=1)
    return boxes[shares >= LEAST_VISIBLE_SHARE].astype(np.float32)


def _transforms(strength: Strength, mirror: bool) -> Callable[..., Any]:
    transforms = import_transforms()
    # no hue jitter: it takes four times as long as all other changes together and showed no gain
    colours = transforms.ColorJitter(brightness=strength.light, contrast=strength.light, saturation=strength.light)
    light = transforms.Compose([transforms.RandomHorizontalFlip(), colours]) if mirror else colours

    def transform(image: Tensor, *labels: Any) -> Any:
        # pixels from outside the photo get the mean colour of its border
        move = transforms.RandomAffine(
            strength.turn_degrees, (strength.shift, strength.shift), strength.zoom, fill=border_colour(image)
        )
        return light(*_as_tuple(move(image, *labels)))

    return transform


def border_colour(image: Tensor) -> list[float]:
    """Mean of the outermost pixels of an image (C, H, W): one number per channel."""
    border = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1)
    return border.mean(dim=1).tolist()


def _as_tuple(moved: Any) -> tuple[Any, ...]:
    return moved if isinstance(moved, tuple) else (moved,)
