"""Chooses the split of each photo: train, validation or holdout (the test photos).

A split that comes with the photos is kept. Otherwise a hash of each photo's name chooses the validation photos.
`labels` are the classes on each photo: one for classification, any number for detection.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from block.errors import BlockError
from block.photos.edge_impulse import EXPORT_FILES, export_entries
from block.photos.folder import PhotoFolder, first_few, split_folders
from block.words import SPLITS
from esp32_deploy.words import Task

# Pascal VOC's lists of photos. A later list overrides an earlier one, because it is more specific.
VOC_LISTS = {"trainval": "train", "train": "train", "val": "validation", "test": "holdout"}
# Edge Impulse's categories. "split" means that the importing program chooses between training and testing.
EXPORT_CATEGORIES = {"training": "train", "split": "train", "testing": "holdout"}
VALIDATION_PERCENT = 20
# Photos that show the same combination of classes form a stratum of their own if there are at least this many.
LEAST_STRATUM = 5

Labels = Mapping[str, frozenset[str]]


def choose_splits(folder: PhotoFolder, labels: Labels, seed: int, task: Task) -> tuple[dict[str, str], str]:
    """Each photo's split by name, and a phrase that states its origin.

    Raises BlockError if a given split leaves out photos or gives a class no training photo, or if a class has too few
    photos.
    """
    origin, splits = _given_splits(folder)
    given = set(splits.values())
    if splits:
        _check_given_splits(folder, labels, origin, splits)
    if "validation" in given:
        return splits, f"given by {origin}"
    splits = splits or dict.fromkeys(folder.paths, "train")
    training = {name: label for name, label in labels.items() if splits[name] == "train"}
    if task == "classification":
        validation = _pick_validation(_classes(folder.root, training), seed)
    else:
        validation = _pick_validation_with_objects(folder.root, training, seed)
    each = "each class's" if task == "classification" else "the"
    how = f"validation: {VALIDATION_PERCENT} % of {each} training photos (seed {seed})"
    if "holdout" in given:
        how = f"{origin}; {how}"
    return splits | dict.fromkeys(validation, "validation"), how


def _given_splits(folder: PhotoFolder) -> tuple[str, dict[str, str]]:
    """The origin of the split that comes with the photos, and the split; empty if the photos have none."""
    by_folder = split_folders(folder.paths)
    if by_folder:
        tops = sorted(by_folder, key=lambda top: SPLITS.index(by_folder[top]))
        origin = "the folders " + ", ".join(f"{top}/" for top in tops)
        top_of = {name: name.split("/")[0] for name in folder.paths}
        return origin, {name: by_folder[top] for name, top in top_of.items() if top in by_folder}
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


def _classes(root: Path, labels: Labels) -> list[list[str]]:
    """The photo names of each class. Raises BlockError if a class has fewer than two photos."""
    by_class: dict[str, list[str]] = {}
    for name, (label,) in labels.items():
        by_class.setdefault(label, []).append(name)
    too_few = sorted(label for label, names in by_class.items() if len(names) < 2)
    if too_few:
        raise BlockError(
            f"{root} has only one training photo of class {first_few(too_few)}. Each class needs at least two: one for "
            "training and one for validation. Add photos, or remove the class."
        )
    return list(by_class.values())


def _combinations(labels: Labels) -> list[list[str]]:
    """The strata: the names of photos that show the same combination of classes. All rare combinations share one."""
    by_combination: dict[frozenset[str], list[str]] = {}
    for name, on_photo in labels.items():
        by_combination.setdefault(on_photo, []).append(name)
    common = [names for names in by_combination.values() if len(names) >= LEAST_STRATUM]
    rest = [name for names in by_combination.values() if len(names) < LEAST_STRATUM for name in names]
    # one photo alone cannot be divided between training and validation
    return [*common, rest] if len(rest) > 1 else common


def _pick_validation_with_objects(root: Path, labels: Labels, seed: int) -> list[str]:
    """Picks a share of each combination of classes. Each class keeps at least one training photo.

    At least one validation photo has an object if such a photo can be spared. Raises BlockError if no photo can be
    spared.
    """
    by_class: dict[str, list[str]] = {}
    for name, on_photo in labels.items():
        for label in on_photo:
            by_class.setdefault(label, []).append(name)
    kept = {max(names, key=lambda name: _rank(name, seed)) for names in by_class.values()}
    spare = sorted(set(labels) - kept, key=lambda name: (not labels[name], _rank(name, seed)))
    if not spare or len(labels) < 2:
        raise BlockError(
            f"{root} has too few photos. Each class needs one for training, and one more photo is needed for "
            "validation. Add photos."
        )
    picked = [name for name in _pick_validation(_combinations(labels), seed) if name not in kept]
    return picked if any(labels[name] for name in picked) else [*dict.fromkeys([spare[0], *picked])]


def _pick_validation(strata: list[list[str]], seed: int) -> list[str]:
    """Picks a share of each stratum, at least one photo. The other strata have no influence on it."""
    picked: list[str] = []
    for names in strata:
        count = max(1, (len(names) * VALIDATION_PERCENT + 50) // 100)
        picked += sorted(names, key=lambda name: _rank(name, seed))[:count]
    return picked


def _rank(name: str, seed: int) -> bytes:
    # The hash depends on the name alone. Therefore a new photo moves very few other photos to another split.
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
