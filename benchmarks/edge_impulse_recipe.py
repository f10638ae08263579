"""train.py with the augmentation and the optimizer of Edge Impulse's FOMO, for benchmarks/detection.py.

FOMO's loss, cut, batch size and learning rate are set by the options of train.py.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from block import learn, options
from block.model import augment
from block.model.torchvision_compat import import_transforms
from block.model.training import Recipe
from block.pipeline import fit
from block.pipeline.run import Run


def edge_impulse_transforms() -> Any:
    """Rotation by up to 20°, zoom of 0.9 to 1.1, brightness and contrast by 0.2 in half of the images, random flips."""
    transforms = import_transforms()
    return transforms.Compose(
        [
            transforms.RandomAffine(20, scale=(0.9, 1.1)),
            transforms.RandomApply([transforms.ColorJitter(0.2, 0.2)], 0.5),
            transforms.RandomHorizontalFlip(),
        ]
    )


def constant_schedule(_progress: float) -> float:
    """The schedule of a constant learning rate."""
    return 1.0


def edge_impulse_recipe(run: Run, started: float) -> Recipe:
    """The run's recipe with Edge Impulse's augmentation, and Adam without weight decay, schedule or averaging."""
    return replace(
        fit.training_recipe(run, started),
        augment=augment.box_augmentation(run.data.size, transforms=edge_impulse_transforms()),
        schedule=constant_schedule,
        weight_decay=0.0,
        average_decay=0.0,
    )


@click.command()
@options.contract_options
@options.studio_options
@options.detection_options
@options.photo_options
@options.debug_option
def main(debug: bool, **values: Any) -> None:
    """Train as train.py does, but with the augmentation and the optimizer of Edge Impulse's recipe."""
    learn.run(options.settings_from(values), debug, choose_recipe=edge_impulse_recipe)


if __name__ == "__main__":
    main()
