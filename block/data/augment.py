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
CROP_AREA = (0.5, 1.0)
CROP_RATIO = (0.8, 1.25)
# no hue: it takes four times as long as all the others together and showed no gain
BRIGHTNESS = CONTRAST = SATURATION = 0.3
# an object of which less is left is no longer one
LEAST_VISIBLE_SHARE = 0.3

Augment = Callable[[Tensor, Any], tuple[Tensor, Any]]


def photo_augmentation(size: int) -> Augment:
    """Random crop, flip and colour; the label, a class, stays what it is."""
    transforms = _transforms(size)
    return lambda image, label: (transforms(image), label)


def box_augmentation(size: int) -> Augment:
    """The same for photos with boxes (n, 5) of class, x, y, width, height in px, which move along.

    A box that is cut keeps its visible part, unless too little of it is left.
    """
    transforms = _transforms(size)

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


def _transforms(size: int) -> Callable[..., Any]:
    transforms = import_transforms()
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, CROP_AREA, CROP_RATIO, antialias=False),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION),
        ]
    )
