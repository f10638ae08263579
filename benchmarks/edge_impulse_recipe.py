"""train.py with the augmentation and the optimizer of Edge Impulse's FOMO, for benchmarks/detection.py.

Its loss, cut, batches and learning rate are options of train.py.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from block.model import augment
from block.model.augment import Augment
from block.model.torchvision_compat import import_transforms


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


# plain Adam: no decay, a learning rate that stays, and the weights of the last step instead of their average
PLAIN_ADAM = {"WEIGHT_DECAY": 0.0, "AVERAGE_DECAY": 0.0, "learning_rate_share": lambda progress: 1.0}  # noqa: ARG005


def train_with_edge_impulses_recipe() -> None:
    """Runs train.py; ends with a line and exit code 1 if it did not take the augmentation from here."""
    from block.model import training
    from train import train

    ours, asked_for = augment.box_augmentation, []

    def box_augmentation(size: int, mirror: bool) -> Augment:
        asked_for.append(size)
        return ours(size, mirror, edge_impulse_transforms())

    kept = {name: getattr(training, name) for name in PLAIN_ADAM}
    augment.box_augmentation = box_augmentation  # type: ignore[assignment]
    vars(training).update(PLAIN_ADAM)
    try:
        train(standalone_mode=False)
    finally:
        augment.box_augmentation = ours
        vars(training).update(kept)
    if not asked_for:
        raise SystemExit("This was learned with this project's own augmentation: train.py did not ask for another.")


if __name__ == "__main__":
    train_with_edge_impulses_recipe()
