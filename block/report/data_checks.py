"""Checks a data set for blank photos, near-duplicates, leaks between splits and classes with few photos.

Photos are read a few at a time. Only a tiny copy of each stays in memory, 8 x 8 px. Near-duplicates have nearly the
same tiny copy. Photos that come from one photo or video, as their names say, may look different: they count as a leak
too if they lie in different splits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from block.data.classes import alike_names
from block.data.reading import BlockData
from block.photos.versions import groups
from block.words import SPLIT_WORDS
from esp32_deploy.words import Task

ROWS_AT_ONCE = 32
BLOCK_ROWS = 512
SIDE = 8
# Each pixel of the tiny copy is compared with its neighbour: brighter, darker or the same. This gives 224 bits.
# Near-duplicates may differ in this many bits. Measured on photos of fruit, blood cells and hand signs at 96 px: 12
# bits find every photo that was saved again or halved, and 91 to 98 % of those with 1 % cropped off. 17 bits find 99 %
# of these, but also 8 pairs of different signs by one hand among 2,062 photos, where 12 bits find 1.
MOST_DIFFERENT_BITS = 12
# Pixels of near-duplicates may differ by this much on average, from 0 to 1. Measured: up to 0.024 for photos that were
# saved again, scaled down or cropped by 1 %, and at least 0.034 for different photos of one fruit with similar bits.
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
    found = alike_warnings(counts)
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


def alike_warnings(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Warnings about classes whose names differ only by capitals, blanks, `_` or `-`, with their total numbers."""
    totals = {name: sum(by_class[name] for by_class in counts.values()) for name in counts["train"]}
    return [
        f"The classes {' and '.join(f'{name} ({totals[name]})' for name in alike)} differ only by capitals, blanks, _ "
        "or -. If they are one class, give them one name."
        for alike in alike_names(totals)
    ]


def photo_warnings(data: BlockData) -> list[str]:
    """Warnings about blank photos and near-duplicates."""
    photos, tiny, deviations = _shrink(data)
    blank = deviations < BLANK_DEVIATION
    found = []
    if blank.any():
        names = [photos[index].name for index in np.flatnonzero(blank)]
        found.append(f"{_count(len(names), 'photo')} almost a single colour: {_list(names)}.")
    origins = _origins(photos) if data.preparation else np.arange(len(photos))
    twins = _twins(photos, _near_duplicates(tiny, ~blank), origins, data.task)
    return found + [_twin_warning(problem, its) for problem, its in twins]


@dataclass
class Twins:
    """The photos that have a twin, by problem: the splits of both photos, or LABELS."""

    examples: list[str] = field(default_factory=list)
    """One for each photo, with one of its twins. A data set of one scene has millions of pairs."""
    pairs: int = 0
    named: bool = False
    """True if some twins are known only from their names."""


def _twins(
    photos: Sequence[Photo], near_duplicates: Iterable[tuple[int, list[int]]], origins: np.ndarray, task: Task
) -> list[tuple[tuple[str, ...], Twins]]:
    near = dict(near_duplicates)
    twins: dict[tuple[str, ...], Twins] = {}
    for index, one in enumerate(photos):
        pairs: dict[tuple[str, ...], list[int]] = {}
        for number in near.get(index, []):
            other = photos[number]
            pairs.setdefault((other.split, one.split), []).append(number)
            if task == "classification" and other.labels != one.labels:
                pairs.setdefault(LABELS, []).append(number)
        known = set(near.get(index, []))
        for number in np.flatnonzero(origins[:index] == origins[index]).tolist():
            both = (photos[number].split, one.split)
            if both[0] != both[1] and number not in known:
                pairs.setdefault(both, []).append(number)
                twins.setdefault(both, Twins()).named = True
        for problem, numbers in pairs.items():
            its = twins.setdefault(problem, Twins())
            its.examples.append(f"{one.name} ≈ {photos[numbers[0]].name}")
            its.pairs += len(numbers)
    # Leaks between splits come first, then different labels. Near-duplicates inside one split do the least harm.
    return sorted(twins.items(), key=lambda item: (item[0][0] == item[0][-1], item[0] != LABELS))


def _origins(photos: Sequence[Photo]) -> np.ndarray:
    """A number for each photo, (N,). Photos that come from one photo or video, as their names say, have the same."""
    group_of = {
        name: number for number, group in enumerate(groups(one.name for one in photos)) for name in group.frames
    }
    return np.array([group_of[one.name] for one in photos])


def _twin_warning(problem: tuple[str, ...], twins: Twins) -> str:
    listed, count = _list(twins.examples), len(twins.examples)
    if problem == LABELS:
        return f"{_count(count, 'photo')} nearly identical to a photo with another label: {listed}."
    earlier, later = (SPLIT_WORDS[split] for split in problem)
    subject = _count(count, f"{later} photo")
    if earlier == later:
        return f"{subject} nearly identical to another {later} photo: {listed}."
    pairs = "1 pair lies" if twins.pairs == 1 else f"{twins.pairs} pairs lie"
    same = f"nearly identical to a {earlier} photo{', or from the same photo or video' if twins.named else ''}"
    return (
        f"{subject} {same}: {listed}. {pairs} in both sets. The {later} figures are too good. Keep all photos of one "
        "scene in one set."
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
