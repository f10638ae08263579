"""Photo augmentation: what a camera could have seen instead, so that few photos teach more.

An augmentation takes an image (C, size, size) float32 0..1 and its label, moves both, and draws from torch's generator.
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
    """How far photos are moved: degrees, shares of the side, factors; and the share that light and colours vary by."""

    turn_degrees: float
    shift: float
    zoom: tuple[float, float]
    light: float


# chosen by cross-validation and on validation photos, see docs/experiments.md
PHOTO_STRENGTH = Strength(20, 0.12, (0.75, 1.25), 0.3)
# a few pixels decide in which cell an object lies and how large it is: photos are moved less far
BOX_STRENGTH = Strength(5, 0.06, (0.9, 1.1), 0.2)

Augment = Callable[[Tensor, Any], tuple[Tensor, Any]]


def photo_augmentation(mirror: bool = True) -> Augment:
    """Turned, shifted, zoomed, mirrored if it may be, in another light; the label, a class, stays what it is."""
    transforms = _transforms(PHOTO_STRENGTH, mirror)
    return lambda image, label: (transforms(image), label)


def box_augmentation(size: int, mirror: bool = True, transforms: Callable[..., Any] | None = None) -> Augment:
    """The same, less far, for photos with boxes (n, 5) of class, x, y, width, height in px, which move along.

    A box that is cut keeps its visible part, unless too little of it is left. `transforms` are others than this
    project's, which take an image and torchvision's bounding boxes.
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
    """The parts of boxes (n, 4) of x, y, width, height that lie in the image, where enough does: (m, 5) float32."""
    start, stop = edges[:, :2], edges[:, :2] + edges[:, 2:]
    inside_start, inside_stop = start.clip(0, size), stop.clip(0, size)
    shares = (inside_stop - inside_start).prod(axis=1) / np.maximum(edges[:, 2:].prod(axis=1), 1e-6)
    boxes = np.concatenate([labels[:, None], inside_start, inside_stop - inside_start], axis=1)
    return boxes[shares >= LEAST_VISIBLE_SHARE].astype(np.float32)


def _transforms(strength: Strength, mirror: bool) -> Callable[..., Any]:
    transforms = import_transforms()
    # no hue: it takes four times as long as all the others together and showed no gain
    colours = transforms.ColorJitter(brightness=strength.light, contrast=strength.light, saturation=strength.light)
    light = transforms.Compose([transforms.RandomHorizontalFlip(), colours]) if mirror else colours

    def transform(image: Tensor, *labels: Any) -> Any:
        # what comes in from outside looks like the photo's own border
        move = transforms.RandomAffine(
            strength.turn_degrees, (strength.shift, strength.shift), strength.zoom, fill=border_colour(image)
        )
        return light(*_as_tuple(move(image, *labels)))

    return transform


def border_colour(image: Tensor) -> list[float]:
    """The mean of the outermost pixels of an image (C, H, W), a number a channel."""
    border = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1)
    return border.mean(dim=1).tolist()


def _as_tuple(moved: Any) -> tuple[Any, ...]:
    return moved if isinstance(moved, tuple) else (moved,)
