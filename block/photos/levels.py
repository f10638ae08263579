"""Finds what the folders above photos mean: a split, a class, or neither. Doubt is left to the caller."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "holdout",
    "testing": "holdout",
    "holdout": "holdout",
}
# Words beside them that say nothing: training_set, val_images, test2017.
FILLERS = frozenset(
    (
        *("data", "dataset", "folder", "image", "images", "img", "imgs", "photo", "photos", "pic", "pics", "picture"),
        *("pictures", "sample", "samples", "set", "split"),
    )
)


@dataclass(frozen=True)
class Levels:
    """The meaning of the folders above photos. Names are photo names, such as train/apple/1.jpg."""

    splits: Mapping[str, str]
    """The split of each photo that lies in a split folder, by photo name; empty if there are no split folders."""
    split_folders: Mapping[str, str]
    """The names of the split folders and the split of each, in the order train, validation, holdout."""
    kept: Mapping[str, tuple[int, ...]]
    """The depths of the folders of each photo that can be classes: all but the split folder, from 0 at the top."""
    shared_level: int
    """The index in `kept` of folders whose names repeat below the folders above them; 0 if there are none."""

    def folders(self, name: str) -> tuple[str, ...]:
        """The folders of a photo that can be classes, from top to bottom."""
        return _at(name, self.kept[name])

    def class_path(self, name: str) -> str | None:
        """The path of the folder that gives a photo its class; None if it lies in none."""
        depth = next(iter(self.kept[name][self.shared_level :]), None)
        return None if depth is None else "/".join(name.split("/")[: depth + 1])

    def repeated(self) -> tuple[list[str], list[str]]:
        """The folders above the shared level, and the folders that repeat below them."""
        level = self.shared_level
        all_folders = [folders for name in self.kept if len(folders := self.folders(name)) > level]
        return sorted({"/".join(folders[:level]) for folders in all_folders}), sorted(
            {one[level] for one in all_folders}
        )


def levels(names: Iterable[str]) -> Levels:
    """The meaning of the folders above the photos."""
    parents = {name: tuple(name.split("/")[:-1]) for name in names}
    kept = {name: tuple(range(len(above))) for name, above in parents.items()}
    found = _split_level(list(parents.values()))
    if found is None:
        return Levels({}, {}, kept, _shared_level(list(parents.values())))
    level, split_folders = found
    inside = {name: above[level] for name, above in parents.items() if len(above) > level}
    splits = {name: split_folders[folder] for name, folder in inside.items() if folder in split_folders}
    kept = {name: tuple(depth for depth in depths if depth != level) for name, depths in kept.items()}
    while _is_doubled([(_at(name, kept[name]), split) for name, split in splits.items()]):
        kept = {name: depths[1:] if name in splits else depths for name, depths in kept.items()}
    return Levels(splits, split_folders, kept, _shared_level([_at(name, kept[name]) for name in splits]))


def _at(name: str, depths: Iterable[int]) -> tuple[str, ...]:
    folders = name.split("/")
    return tuple(folders[depth] for depth in depths)


def speaking_folders(folders: Iterable[str]) -> dict[str, str]:
    """The folders whose names speak of a split, and the split of each. They must agree in all other words."""
    spoken = {folder: found for folder in folders if (found := _spoken(folder))}
    rests = {rest for _, rest in spoken.values()}
    # test_tube and train_station are classes, seg_test and seg_train are splits
    agreed = rests if len(rests) == 1 else {()}
    return {folder: split for folder, (split, rest) in spoken.items() if rest in agreed}


def split_and_class_folders(folders: Iterable[str]) -> list[str]:
    """The folders that name a split and a class at once, such as cat_train, cat_test, dog_train and dog_test."""
    splits_of: dict[tuple[str, ...], set[str]] = {}
    spoken = {folder: found for folder in folders if (found := _spoken(folder))}
    for split, rest in spoken.values():
        splits_of.setdefault(rest, set()).add(split)
    several = {rest for rest, splits in splits_of.items() if rest and len(splits) > 1}
    return sorted(folder for folder, (_, rest) in spoken.items() if rest in several) if len(several) > 1 else []


def _spoken(folder: str) -> tuple[str, tuple[str, ...]] | None:
    """The split that a folder's name speaks of, and the other words in it. None if it speaks of none or of several."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder))
    splits, rest = set(), []
    for word in map(str.lower, words):
        split = SPLIT_WORDS.get(word) or next(
            (SPLIT_WORDS[word.removesuffix(end)] for end in FILLERS if word.removesuffix(end) in SPLIT_WORDS), None
        )
        if split:
            splits.add(split)
        elif word not in FILLERS:
            rest.append(word)
    return (splits.pop(), tuple(rest)) if len(splits) == 1 else None


def _split_level(parents: list[tuple[str, ...]]) -> tuple[int, dict[str, str]] | None:
    """The level of the split folders, and their splits."""
    for level in range(max(map(len, parents), default=0)):
        folders = {above[level] if len(above) > level else "" for above in parents}
        speaking = speaking_folders(folders)
        several = len(set(speaking.values())) > 1
        # A single folder train/ beside folders of other classes probably holds photos of trains.
        plain = {folder: split for folder, split in speaking.items() if _spoken(folder) == (split, ())}
        if (several and (level == 0 or len(speaking) == len(folders))) or (level == 0 and len(plain) == len(folders)):
            return level, dict(sorted(speaking.items(), key=lambda item: list(SPLIT_WORDS.values()).index(item[1])))
    return None


def _is_doubled(below: list[tuple[tuple[str, ...], str]]) -> bool:
    """True if the first folder below the split folders says nothing: train/images/apple, train/train/apple.

    `below` are the folders of each photo without the split folder, and its split.
    """
    if not all(len(folders) > 1 for folders, _ in below):
        return False
    is_same = len({folders[0] for folders, _ in below}) == 1
    return is_same or all((spoken := _spoken(folders[0])) and spoken[0] == split for folders, split in below)


def _shared_level(all_folders: list[tuple[str, ...]]) -> int:
    """The deepest level where the same names lie below at least two of the folders above it; 0 if there is none."""
    for level in range(min(map(len, all_folders), default=0) - 1, 0, -1):
        places: dict[str, set[tuple[str, ...]]] = {}
        for folders in all_folders:
            places.setdefault(folders[level], set()).add(folders[:level])
        shared = [name for name, above in places.items() if len(above) > 1]
        if len(shared) > 1 and 2 * len(shared) >= len(places):
            return level
    return 0
