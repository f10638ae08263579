"""Checks a data set for blank photos, near-duplicates, leaks between splits and classes with few photos.

Photos are read a few at a time. Only a tiny copy of each stays in memory, 8 x 8 px. Near-duplicates have nearly the
same tiny copy.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from block.data.reading import BlockData
from block.words import SPLIT_WORDS
from esp32_deploy.words import Task

ROWS_AT_ONCE = 32
BLOCK_ROWS = 512
SIDE = 8
# Each pixel of the tiny copy is compared with its neighbour: brighter, darker or the same. This gives 224 bits.
# Near-duplicates may differ in this many bits. Measured: up to 17 bits for photos that were saved again, scaled down or
# cropped by a pixel, and at least 23 bits for different photos of one fruit.
MOST_DIFFERENT_BITS = 12
# Pixels of near-duplicates may differ by this much on average, from 0 to 1. Measured: up to 0.021, and at least 0.034.
MOST_PIXEL_DIFFERENCE = 0.025
# Smaller differences count as "the same", so that noise on a flat background sets no bits.
LEAST_STEP = 0.012
BLANK_DEVIATION = 0.012
EXAMPLES = 3
# The problem "near-duplicates with different labels". The other problems are pairs of splits.
LABELS = ("labels",)

FEW_TRAINING_IMAGES = 20
FEW_SCORED_IMAGES = 5
IMBALANCE = 5.0


@dataclass(frozen=True)
class Photo:
    """One photo: its split, its name, and the indices of the classes that it shows."""

    split: str
    name: str
    labels: frozenset[int]


def count_warnings(counts: Mapping[str, Mapping[str, int]], thing: str) -> list[str]:
    """Warnings about the numbers of photos or objects (`thing`) by split and class."""
    found = []
    train = counts["train"]
    few = [f"{name} ({count})" for name, count in train.items() if count < FEW_TRAINING_IMAGES]
    if few:
        found.append(
            f"There are few training {thing}s of {_list(few)}. Take at least {FEW_TRAINING_IMAGES} of each class."
        )
    for split, by_class in counts.items():
        thin = [f"{name} ({count})" for name, count in by_class.items() if count < FEW_SCORED_IMAGES]
        if split != "train" and thin:
            found.append(
                f"There are few {SPLIT_WORDS[split]} {thing}s of {_list(thin)}. "
                "The figures of these classes are unreliable."
            )
    most, least = max(train, key=lambda name: train[name]), min(train, key=lambda name: train[name])
    if train[most] > IMBALANCE * max(1, train[least]):
        found.append(
            f"The training set has {train[most]} {thing}s of {most} but {train[least]} of {least}. The network learns "
            f"{least} less well. Add photos of {least}."
        )
    if "holdout" not in counts:
        found.append(
            "There are no test photos. The validation photos chose the best epoch, so their figures are too good. "
            "Put photos that are used for nothing else into a folder test/."
        )
    return found


def photo_warnings(data: BlockData) -> list[str]:
    """Warnings about blank photos and near-duplicates."""
    photos, tiny, deviations = _shrink(data)
    blank = deviations < BLANK_DEVIATION
    found = []
    if blank.any():
        names = [photos[index].name for index in np.flatnonzero(blank)]
        found.append(f"{_count(len(names), 'photo')} almost a single colour: {_list(names)}.")
    return found + [_twin_warning(problem, examples) for problem, examples in _twins(photos, tiny, ~blank, data.task)]


def _twins(
    photos: Sequence[Photo], tiny: np.ndarray, is_usable: np.ndarray, task: Task
) -> list[tuple[tuple[str, ...], list[str]]]:
    """Photos that have a near-duplicate, by problem: the splits of both photos, or LABELS."""
    twins: dict[tuple[str, ...], list[str]] = {}
    for index, earlier in _near_duplicates(tiny, is_usable):
        one = photos[index]
        # One twin per photo and problem is enough: a data set of one scene has millions of pairs.
        problems: dict[tuple[str, ...], str] = {}
        for other in (photos[number] for number in earlier):
            problems.setdefault((other.split, one.split), f"{one.name} ≈ {other.name}")
            if task == "classification" and other.labels != one.labels:
                problems.setdefault(LABELS, f"{one.name} ≈ {other.name}")
        for problem, example in problems.items():
            twins.setdefault(problem, []).append(example)
    # Leaks between splits come first, then different labels. Near-duplicates inside one split do the least harm.
    return sorted(twins.items(), key=lambda item: (item[0][0] == item[0][-1], item[0] != LABELS))


def _twin_warning(problem: tuple[str, ...], examples: Sequence[str]) -> str:
    listed = _list(examples)
    if problem == LABELS:
        return f"{_count(len(examples), 'photo')} nearly identical to a photo with another label: {listed}."
    earlier, later = (SPLIT_WORDS[split] for split in problem)
    subject = _count(len(examples), f"{later} photo")
    if earlier == later:
        return f"{subject} nearly identical to another {later} photo: {listed}."
    return (
        f"{subject} nearly identical to a {earlier} photo: {listed}. The {later} figures are too good. Keep all photos "
        "of one scene in one set."
    )


def _shrink(data: BlockData) -> tuple[list[Photo], np.ndarray, np.ndarray]:
    """All photos, their tiny copies (N, 8, 8, C) float32 in 0..1, and their standard deviations (N,).

    The standard deviation is over all pixels, of the channel where it is largest.
    """
    photos: list[Photo] = []
    tiny, deviations = [], []
    for split, examples in data.splits.items():
        for name, labels in zip(examples.sample_names, examples.labels, strict=True):
            photos.append(Photo(split, name, frozenset(np.atleast_2d(labels)[:, 0].tolist())))
        for start in range(0, len(examples), ROWS_AT_ONCE):
            rows = np.asarray(examples.features[start : start + ROWS_AT_ONCE])
            count, size, _, channels = rows.shape
            cells = rows.reshape(count, SIDE, size // SIDE, SIDE, size // SIDE, channels)
            tiny.append(cells.mean(axis=(2, 4), dtype=np.float32))
            deviations.append(rows.std(axis=(1, 2)).max(axis=1))
    return photos, np.concatenate(tiny), np.concatenate(deviations)


def _near_duplicates(tiny: np.ndarray, is_usable: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Yields the index of a photo and the indices of its near-duplicates among the photos before it."""
    gray = tiny.mean(axis=3)
    steps = np.concatenate([np.diff(gray, axis=axis).reshape(len(gray), -1) for axis in (1, 2)], axis=1)
    bits = np.concatenate([steps > LEAST_STEP, steps < -LEAST_STEP], axis=1)
    # With signs 1 and -1, a product is the number of equal bits minus the number of different bits.
    signs = np.where(bits, np.float32(1), np.float32(-1))
    least_equal = signs.shape[1] - 2 * MOST_DIFFERENT_BITS
    for start in range(0, len(signs), BLOCK_ROWS):
        products = signs[start : start + BLOCK_ROWS] @ signs[: start + BLOCK_ROWS].T
        for index, row in enumerate(products, start):
            earlier = np.flatnonzero((row[:index] >= least_equal) & is_usable[:index])
            if len(earlier) and is_usable[index]:
                differences = np.abs(tiny[earlier] - tiny[index]).mean(axis=(1, 2, 3))
                near = earlier[differences <= MOST_PIXEL_DIFFERENCE]
                if len(near):
                    yield index, near.tolist()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"


def _list(names: Sequence[str]) -> str:
    left = len(names) - EXAMPLES
    return ", ".join(names[:EXAMPLES]) + (f" and {left} more" if left > 0 else "")
