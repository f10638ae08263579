"""Photo augmentation: what a camera could have seen instead, so that few photos teach more."""

from collections.abc import Callable

from torch import Tensor

from block.data.torchvision_compat import import_transforms

# chosen by cross-validation, see docs/experiments.md
CROP_AREA = (0.5, 1.0)
CROP_RATIO = (0.8, 1.25)
# no hue: it takes four times as long as all the others together and showed no gain
BRIGHTNESS = CONTRAST = SATURATION = 0.3

Augment = Callable[[Tensor], Tensor]


def photo_augmentation(size: int) -> Augment:
    """Random crop, flip and colour for one image (C, size, size) float32 0..1; draws from torch's generator."""
    transforms = import_transforms()
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, CROP_AREA, CROP_RATIO, antialias=False),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION),
        ]
    )
