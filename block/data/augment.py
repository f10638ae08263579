"""Photo augmentation: what a camera could have seen instead, so that few photos teach more.

An augmentation takes an image (C, size, size) float32 0..1 and its label, moves both, and draws from torch's generator.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from block.data.torchvision_compat import import_transforms

# chosen by cross-validation, see docs/experiments.md
TURN_DEGREES = 20
SHIFT_SHARE = 0.12
ZOOM = (0.75, 1.25)
# no hue: it takes four times as long as all the others together and showed no gain
BRIGHTNESS = CONTRAST = SATURATION = 0.3
# an object of which less is left is no longer one
LEAST_VISIBLE_SHARE = 0.3

Augment = Callable[[Tensor, Any], tuple[Tensor, Any]]


def photo_augmentation() -> Augment:
    """Turned, shifted, zoomed, mirrored, in another light; the label, a class, stays what it is."""
    transforms = _transforms()
    return lambda image, label: (transforms(image), label)


def box_augmentation(size: int) -> Augment:
    """The same for photos with boxes (n, 5) of class, x, y, width, height in px, which move along.

    A box that is cut keeps its visible part, unless too little of it is left.
    """
    transforms = _transforms()

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


def _transforms() -> Callable[..., Any]:
    transforms = import_transforms()
    light = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION)]
    )

    def transform(image: Tensor, *labels: Any) -> Any:
        # what comes in from outside looks like the photo's own border
        move = transforms.RandomAffine(
            TURN_DEGREES,
            (SHIFT_SHARE, SHIFT_SHARE),
            ZOOM,
            fill=border_colour(image),
        )
        return light(*_as_tuple(move(image, *labels)))

    return transform


def border_colour(image: Tensor) -> list[float]:
    """The mean of the outermost pixels of an image (C, H, W), a number a channel."""
    border = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1)
    return border.mean(dim=1).tolist()


def _as_tuple(moved: Any) -> tuple[Any, ...]:
    return moved if isinstance(moved, tuple) else (moved,)
