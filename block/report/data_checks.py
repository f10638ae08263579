"""What is wrong with a data set: blank photos, the same photo twice, leaks between splits, too few of a class.

Photos are read a few at a time; of each only a tiny copy stays, 8 x 8 px, which near-duplicates have in common.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from block.data.reading import BlockData
from esp32_deploy.words import Task

ROWS_AT_ONCE = 32
BLOCK_ROWS = 512
SIDE = 8
# neighbouring fields of the tiny copy are brighter, darker or the same, 224 bits; of these so many may differ in
# near-duplicates (photos saved again, smaller, with a pixel cut off: up to 17; different photos of a fruit: from 23)
MOST_DIFFERENT_BITS = 12
# and so much may their fields differ on average, in 0..1 (0.021; from 0.034)
MOST_DIFFERENT_FIELDS = 0.025
# fields closer than this are neither brighter nor darker: a flat background must not flicker
LEAST_STEP = 0.012
BLANK_DEVIATION = 0.012
EXAMPLES = 3
# what near-duplicates differ in, beside their splits
LABELS = ("labels",)

FEW_TRAINING_IMAGES = 20
FEW_JUDGED_IMAGES = 5
IMBALANCE = 5.0


@dataclass(frozen=True)
class Photo:
    """One photo by its place in the data; `labels` are the classes it shows."""

    split: str
    name: str
    labels: frozenset[int]


def count_warnings(counts: Mapping[str, Mapping[str, int]], thing: str) -> list[str]:
    """Warnings that follow from the number of `thing`s (photos or objects) by split and class."""
    found = []
    train = counts["train"]
    few = [f"{name} ({count})" for name, count in train.items() if count < FEW_TRAINING_IMAGES]
    if few:
        found.append(f"Few training {thing}s of {_list(few)}: take more, at least {FEW_TRAINING_IMAGES} of each class.")
    for split, by_class in counts.items():
        thin = [f"{name} ({count})" for name, count in by_class.items() if count < FEW_JUDGED_IMAGES]
        if split != "train" and thin:
            found.append(f"Few {split} {thing}s of {_list(thin)}: what is said about these classes is chance.")
    most, least = max(train, key=lambda name: train[name]), min(train, key=lambda name: train[name])
    if train[most] > IMBALANCE * max(1, train[least]):
        found.append(
            f"Training has {train[most]} {thing}s of {most} but {train[least]} of {least}, which is learned less well "
            f"for it. Take more of {least}."
        )
    if "holdout" not in counts:
        found.append(
            "No test photos were set aside: the validation photos chose the epoch, so the figures flatter. Put some "
            "photos that are used for nothing else into a folder test/."
        )
    return found


def photo_warnings(data: BlockData) -> list[str]:
    """Warnings that follow from the photos themselves."""
    photos, tiny, deviations = _shrink(data)
    blank = deviations < BLANK_DEVIATION
    found = []
    if blank.any():
        names = [photos[index].name for index in np.flatnonzero(blank)]
        found.append(f"{_count(len(names), 'photo')} nearly of one colour: {_list(names)}.")
    return found + [_twin_warning(problem, examples) for problem, examples in _twins(photos, tiny, ~blank, data.task)]


def _twins(
    photos: Sequence[Photo], tiny: np.ndarray, is_of_use: np.ndarray, task: Task
) -> list[tuple[tuple[str, ...], list[str]]]:
    """Photos that have a near-duplicate, by what is wrong with that: the splits of both, or "labels"."""
    twins: dict[tuple[str, ...], list[str]] = {}
    for index, earlier in _near_duplicates(tiny, is_of_use):
        one = photos[index]
        # of each photo one twin is enough: a set of one scene has millions of pairs
        problems: dict[tuple[str, ...], str] = {}
        for other in (photos[number] for number in earlier):
            problems.setdefault((other.split, one.split), f"{one.name} ≈ {other.name}")
            if task == "classification" and other.labels != one.labels:
                problems.setdefault(LABELS, f"{one.name} ≈ {other.name}")
        for problem, example in problems.items():
            twins.setdefault(problem, []).append(example)
    # leaks first; what stays inside one split harms least
    return sorted(twins.items(), key=lambda item: (item[0][0] == item[0][-1], item[0] != LABELS))


def _twin_warning(problem: tuple[str, ...], examples: Sequence[str]) -> str:
    listed = _list(examples)
    if problem == LABELS:
        return f"{_count(len(examples), 'photo')} nearly the same as one with another label: {listed}."
    learned, judged = problem
    subject = _count(len(examples), f"{judged} photo")
    if learned == judged:
        return f"{subject} nearly the same as another one of that split: {listed}."
    return (
        f"{subject} nearly the same as a {learned} photo: {listed}. The {judged} figures are too good; keep photos of "
        "one scene in one split."
    )


def _shrink(data: BlockData) -> tuple[list[Photo], np.ndarray, np.ndarray]:
    """All photos, their tiny copies (N, 8, 8, C) float32 in 0..1, and each one's deviation from a single colour."""
    photos: list[Photo] = []
    tiny, deviations = [], []
    for split, examples in data.splits.items():
        for name, labels in zip(examples.sample_names, examples.labels, strict=True):
            photos.append(Photo(split, name, frozenset(np.atleast_2d(labels)[:, 0].tolist())))
        for start in range(0, len(examples), ROWS_AT_ONCE):
            rows = np.asarray(examples.features[start : start + ROWS_AT_ONCE])
            count, size, _, channels = rows.shape
            fields = rows.reshape(count, SIDE, size // SIDE, SIDE, size // SIDE, channels)
            tiny.append(fields.mean(axis=(2, 4), dtype=np.float32))
            deviations.append(rows.std(axis=(1, 2)).max(axis=1))
    return photos, np.concatenate(tiny), np.concatenate(deviations)


def _near_duplicates(tiny: np.ndarray, is_of_use: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Indices of photos, each with those before it that are nearly the same."""
    gray = tiny.mean(axis=3)
    steps = np.concatenate([np.diff(gray, axis=axis).reshape(len(gray), -1) for axis in (1, 2)], axis=1)
    bits = np.concatenate([steps > LEAST_STEP, steps < -LEAST_STEP], axis=1)
    # as signs, so that a product counts what is equal
    signs = np.where(bits, np.float32(1), np.float32(-1))
    least_equal = signs.shape[1] - 2 * MOST_DIFFERENT_BITS
    for start in range(0, len(signs), BLOCK_ROWS):
        products = signs[start : start + BLOCK_ROWS] @ signs[: start + BLOCK_ROWS].T
        for index, row in enumerate(products, start):
            earlier = np.flatnonzero((row[:index] >= least_equal) & is_of_use[:index])
            if len(earlier) and is_of_use[index]:
                differences = np.abs(tiny[earlier] - tiny[index]).mean(axis=(1, 2, 3))
                near = earlier[differences <= MOST_DIFFERENT_FIELDS]
                if len(near):
                    yield index, near.tolist()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"


def _list(names: Sequence[str]) -> str:
    left = len(names) - EXAMPLES
    return ", ".join(names[:EXAMPLES]) + (f" and {left} more" if left > 0 else "")
