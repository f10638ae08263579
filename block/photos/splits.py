"""Chooses the split of each photo: train, validation or holdout (the test photos).

A split that comes with the photos is kept. Otherwise a hash of each photo's name chooses the validation photos.
Versions of one photo, and the frames of a video, stay together. `labels` are the classes on each photo: one for
classification, any number for detection.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from block.errors import BlockError
from block.photos.doubts import refuse_empty_splits
from block.photos.edge_impulse import EXPORT_FILES, export_entries
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import NO_SPLITS, GivenSplits
from block.photos.versions import Group, groups
from esp32_deploy.words import Task

# Pascal VOC's lists of photos. A later list overrides an earlier one, because it is more specific.
VOC_LISTS = {"trainval": "train", "train": "train", "val": "validation", "test": "holdout"}
# Edge Impulse's categories. "split" means that the importing program chooses between training and testing.
EXPORT_CATEGORIES = {"training": "train", "split": "train", "testing": "holdout"}
VALIDATION_PERCENT = 20
# Photos that show the same combination of classes form a stratum of their own if there are at least this many.
LEAST_STRATUM = 5

Labels = Mapping[str, frozenset[str]]


def choose_splits(
    folder: PhotoFolder, labels: Labels, seed: int, task: Task, brought: GivenSplits = NO_SPLITS
) -> tuple[dict[str, str], str]:
    """Each photo's split by name, and a phrase that states its origin. `brought` are the splits of the label format.

    Raises BlockError if a given split leaves out photos or gives a class no training photo, or if a class has too few
    photos.
    """
    origin, splits = _given_splits(folder, brought)
    given = set(splits.values())
    if splits:
        _check_given_splits(folder, labels, origin, splits)
    if "validation" in given:
        return splits, f"given by {origin}"
    splits = splits or dict.fromkeys(folder.paths, "train")
    training = {name: label for name, label in labels.items() if splits[name] == "train"}
    units = _units(folder.paths, training)
    if task == "classification":
        validation = _pick_by_class(folder.root, units, training, seed)
    else:
        validation = _pick_with_objects(folder.root, units, training, seed)
    each = "each class's" if task == "classification" else "the"
    how = f"validation: {VALIDATION_PERCENT} % of {each} training photos (seed {seed})"
    if "holdout" in given:
        how = f"{origin}; {how}"
    return splits | dict.fromkeys(validation, "validation"), how


def _given_splits(folder: PhotoFolder, brought: GivenSplits) -> tuple[str, dict[str, str]]:
    """The origin of the split that comes with the photos, and the split; empty if the photos have none.

    What the label format says goes before the folders.
    """
    levels = folder.levels
    by_format = {name: split for name, split in brought.of.items() if name in folder.paths}
    by_folder = {name: split for name, split in levels.splits.items() if name in folder.paths}
    if by_folder.keys() - by_format.keys():
        refuse_empty_splits(folder)
        origins = ["the folders " + ", ".join(f"{top}/" for top in levels.split_folders)]
        return " and ".join([brought.origin, *origins] if by_format else origins), by_folder | by_format
    if by_format:
        return brought.origin, by_format
    categories = {name: str(entry.get("category")) for name, entry in export_entries(folder).items()}
    by_category = {
        name: EXPORT_CATEGORIES[category]
        for name, category in categories.items()
        if name in folder.paths and category in EXPORT_CATEGORIES
    }
    if by_category:
        return f"the categories in {EXPORT_FILES[0]}", by_category
    return "the lists in ImageSets/Main", _splits_from_voc_lists(folder)


def _splits_from_voc_lists(folder: PhotoFolder) -> dict[str, str]:
    splits: dict[str, str] = {}
    for place in sorted({path.parent for path in folder.paths.values() if path.parent.name == "JPEGImages"}):
        lists = place.parent / "ImageSets" / "Main"
        files = [(lists / f"{list_name}.txt", split) for list_name, split in VOC_LISTS.items()]
        by_stem = {
            line.strip(): split
            for file, split in files
            if file.is_file()
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        }
        splits |= {
            name: by_stem[path.stem]
            for name, path in folder.paths.items()
            if path.parent == place and path.stem in by_stem
        }
    return splits


def _check_given_splits(folder: PhotoFolder, labels: Labels, origin: str, splits: Mapping[str, str]) -> None:
    outside = [name for name in folder.paths if name not in splits]
    if outside:
        raise BlockError(
            f"The split is given by {origin}, but {len(outside)} of {len(folder.paths)} photos in {folder.root} are "
            f"not in it: {first_few(outside)}. Add these photos to the split, or move them out of the folder."
        )
    in_training = frozenset[str]().union(*(on_photo for name, on_photo in labels.items() if splits[name] == "train"))
    missing = sorted(frozenset[str]().union(*labels.values()) - in_training)
    if missing:
        raise BlockError(
            f"{folder.root} has no training photos of class {first_few(missing)}. The split is given by {origin}. "
            "Add training photos, or remove the class."
        )


@dataclass(frozen=True)
class Unit:
    """Photos that a split must not part: one photo, its versions, or the frames of a video."""

    group: Group
    classes: frozenset[str]

    @property
    def photos(self) -> list[str]:
        """The photos by name."""
        return list(self.group.frames)


def _units(names: Iterable[str], labels: Labels) -> list[Unit]:
    """The units of all photos in `labels`. `names` are the photos of all splits."""
    trimmed = [
        Group(one.key, {name: frame for name, frame in one.frames.items() if name in labels}) for one in groups(names)
    ]
    return [_unit(one, labels) for one in trimmed if one.frames]


def _unit(group: Group, labels: Labels) -> Unit:
    return Unit(group, frozenset[str]().union(*(labels[name] for name in group.frames)))


def _cut(unit: Unit, labels: Labels) -> list[Unit]:
    """The beginning and the end of a video, because it has to be divided. Frames with one number stay together."""
    frames = unit.group.frames
    numbers = list(frames.values())
    first = numbers[-_share(len(numbers))]
    if first == numbers[0]:
        first = next(number for number in numbers if number != first)
    start = numbers.index(first)
    names = list(frames)
    parts = {"beginning": names[:start], "end": names[start:]}
    return [_unit(Group(f"{unit.group.key} {part}", dict.fromkeys(kept)), labels) for part, kept in parts.items()]


def _pick_by_class(root: Path, units: list[Unit], labels: Labels, seed: int) -> list[str]:
    """Picks a share of the photos of each class. A video that is all of its class is cut.

    Raises BlockError if all photos of a class are one photo or its versions.
    """
    by_class: dict[str, list[Unit]] = {}
    for unit in units:
        # The versions of one photo have one class each, but boxes can be cut off from some of them.
        by_class.setdefault(min(unit.classes), []).append(unit)
    for label, (first, *others) in by_class.items():
        if first.group.is_video and not others:
            by_class[label] = _cut(first, labels)
    divided = [unit for of_class in by_class.values() if len(of_class) > 1 for unit in of_class]
    several = Counter(label for unit in divided for label in unit.classes)
    too_few = sorted({label for unit in units for label in unit.classes if several[label] < 2})
    if too_few:
        raise BlockError(
            f"{root} has only one training photo of class {first_few(too_few)} (versions of one photo count as one). "
            "Each class needs at least two: one for training and one for validation. Add photos, or remove the class."
        )
    return _photos(_pick(list(by_class.values()), seed))


def _combinations(units: list[Unit]) -> list[list[Unit]]:
    """The strata: the units that show the same combination of classes. All rare combinations share one."""
    by_combination: dict[frozenset[str], list[Unit]] = {}
    for unit in units:
        by_combination.setdefault(unit.classes, []).append(unit)
    common = [found for found in by_combination.values() if len(found) >= LEAST_STRATUM]
    rest = [unit for found in by_combination.values() if len(found) < LEAST_STRATUM for unit in found]
    # one photo alone cannot be divided between training and validation
    return [*common, rest] if len(rest) > 1 else common


def _pick_with_objects(root: Path, units: list[Unit], labels: Labels, seed: int) -> list[str]:
    """Picks a share of each combination of classes. Each class keeps at least one training photo.

    At least one validation photo has an object if such a photo can be spared. If none can be spared, the longest video
    is cut. Raises BlockError if there is no video either.
    """
    by_class: dict[str, list[Unit]] = {}
    for unit in units:
        for label in unit.classes:
            by_class.setdefault(label, []).append(unit)
    kept = [max(found, key=lambda unit: _rank(unit, seed)) for found in by_class.values()]
    spare = sorted((unit for unit in units if unit not in kept), key=lambda unit: (not unit.classes, _rank(unit, seed)))
    if not spare or len(units) < 2:
        videos = [unit for unit in units if unit.group.is_video]
        if videos:
            longest = max(videos, key=lambda unit: len(unit.photos))
            rest = [unit for unit in units if unit != longest]
            return _pick_with_objects(root, [*rest, *_cut(longest, labels)], labels, seed)
        raise BlockError(
            f"{root} has too few photos (versions of one photo count as one). Each class needs one for training, and "
            "one more photo is needed for validation. Add photos."
        )
    picked = [unit for unit in _pick(_combinations(units), seed) if unit not in kept]
    has_objects = any(unit.classes for unit in picked)
    return _photos(picked if has_objects else [spare[0], *(unit for unit in picked if unit != spare[0])])


def _pick(strata: list[list[Unit]], seed: int) -> list[Unit]:
    """Picks a share of the photos of each stratum, at least one unit. Strata do not influence each other."""
    picked: list[Unit] = []
    for units in strata:
        left = _share(sum(len(unit.photos) for unit in units))
        ranked = sorted(units, key=lambda unit: _rank(unit, seed))
        fitting = []
        for unit in ranked:
            if len(unit.photos) <= left:
                fitting.append(unit)
                left -= len(unit.photos)
        picked += fitting or [min(ranked, key=lambda unit: len(unit.photos))]
    return picked


def _share(photos: int) -> int:
    return max(1, (photos * VALIDATION_PERCENT + 50) // 100)


def _photos(units: list[Unit]) -> list[str]:
    return [name for unit in units for name in unit.photos]


def _rank(unit: Unit, seed: int) -> bytes:
    # The hash depends on the name alone. Therefore a new photo moves very few other photos to another split.
    return hashlib.sha256(f"{seed}/{unit.group.key}".encode()).digest()
