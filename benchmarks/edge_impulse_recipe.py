"""train.py with the augmentation of Edge Impulse's FOMO instead of this project's, for benchmarks/detection.py."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from block.data import augment
from block.data.torchvision_compat import import_transforms


def edge_impulse_transforms() -> Any:
    """Zoom of 0.9 to 1.1, turned by up to 20 degrees, brightness and contrast by 0.2 half of the time, mirrored."""
    transforms = import_transforms()
    return transforms.Compose(
        [
            transforms.RandomAffine(20, scale=(0.9, 1.1)),
            transforms.RandomApply([transforms.ColorJitter(0.2, 0.2)], 0.5),
            transforms.RandomHorizontalFlip(),
        ]
    )


if __name__ == "__main__":
    import train

    augment._transforms = lambda strength: edge_impulse_transforms()  # noqa: ARG005
    train.train()
