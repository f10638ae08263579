"""train.py with the augmentation of Edge Impulse's FOMO instead of this project's, for benchmarks/detection.py."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from block.data import augment
from block.data.augment import Augment
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


def train_with_edge_impulses_augmentation() -> None:
    """Runs train.py; ends with a line and exit code 1 if it did not take the augmentation from here."""
    from train import train

    ours, asked_for = augment.box_augmentation, []

    def box_augmentation(size: int, mirror: bool) -> Augment:
        asked_for.append(size)
        return ours(size, mirror, edge_impulse_transforms())

    augment.box_augmentation = box_augmentation  # type: ignore[assignment]
    try:
        train(standalone_mode=False)
    finally:
        augment.box_augmentation = ours
    if not asked_for:
        raise SystemExit("This was learned with this project's own augmentation: train.py did not ask for another.")


if __name__ == "__main__":
    train_with_edge_impulses_augmentation()
