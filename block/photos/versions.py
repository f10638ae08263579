"""Groups the photos that come from one photo, video or burst, as their names say. A split must not part them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from block.photos.levels import levels
from block.photos.names import Origin, origin, stem
from block.words import SPLIT_WORDS, SPLITS

# Augmented copies often lie in a folder of their own, beside the folder of the original photos.
COPY_FOLDERS = frozenset(("aug", "augmentation", "augmentations", "augmented"))
ORIGINAL_FOLDERS = frozenset(("orig", "original", "originals"))


@dataclass(frozen=True)
class Group:
    """Photos of one origin."""

    key: str
    """The path that the original photo, the video or the burst would have; for a photo on its own, its name."""
    frames: dict[str, int | None]
    """The photos by name, in the order of their frames, with the number of each frame; None for other photos."""

    @property
    def is_video(self) -> bool:
        """True if the photos are frames with different numbers."""
        return None not in self.frames.values() and len(set(self.frames.values())) > 1


def groups(names: Iterable[str]) -> list[Group]:
    """All photos, each in one group. A photo on its own is a group too."""
    names = list(names)
    origins = _origins(names)
    below = levels(names)
    candidates: dict[tuple[str, ...], list[str]] = {}
    for name, found in origins.items():
        folders = [folder for folder in below.folders(name) if folder.lower() not in COPY_FOLDERS | ORIGINAL_FOLDERS]
        candidates.setdefault((*folders, found.source.casefold()), []).append(name)
    together: list[Group] = []
    for (*folders, _), members in candidates.items():
        if not any(_is_marked(name, origins[name]) for name in members):
            together += [Group(name, {name: None}) for name in members]
            continue
        key = "/".join([*folders, origins[members[0]].source])
        together += [
            Group(key if len(parts) == 1 else f"{split}/{key}", {name: origins[name].frame for name in part})
            for parts in [_numbered_anew(members, origins, below.splits)]
            for split, part in parts.items()
        ]
    return [Group(one.key, dict(sorted(one.frames.items(), key=_by_frame))) for one in together]


@dataclass(frozen=True)
class Parted:
    """Photos of one origin that lie in two splits."""

    photos: tuple[str, ...]
    """The photos of the later split that have a version in the earlier one."""
    pairs: int
    example: tuple[str, str]
    """A photo of the earlier split, and one of the later."""


def parted(split_of: Mapping[str, str]) -> dict[tuple[str, str], Parted]:
    """Where splits part photos of one origin, by earlier and later split. `split_of` are the splits by photo name."""
    found: dict[tuple[str, str], Parted] = {}
    for group in groups(split_of):
        members = {split: [name for name in group.frames if split_of[name] == split] for split in SPLITS}
        for both in combinations(SPLITS, 2):
            earlier, later = (members[split] for split in both)
            if earlier and later:
                before = found.get(both, Parted((), 0, (earlier[0], later[0])))
                pairs = before.pairs + len(earlier) * len(later)
                found[both] = Parted((*before.photos, *later), pairs, before.example)
    return found


def version_warnings(split_of: Mapping[str, str]) -> Iterator[str]:
    """Warnings about splits that part photos of one origin."""
    for (earlier, later), found in parted(split_of).items():
        one, other = found.example
        yield (
            f"{len(found.photos)} {SPLIT_WORDS[later]} photos come from the same photo or video as a "
            f"{SPLIT_WORDS[earlier]} photo, as their names say ({found.pairs} pairs), such as {other} and {one}. The "
            f"{SPLIT_WORDS[later]} figures are too good. Keep all versions of a photo, and all frames of a video, in "
            "one set. If a class has a single video, its end was taken for validation: add photos of other scenes."
        )


def _origins(names: list[str]) -> dict[str, Origin]:
    beside: dict[str, set[str]] = {}
    parts = {name: name.rpartition("/") for name in names}
    for folder, _, file_name in parts.values():
        beside.setdefault(folder, set()).add(stem(file_name))
    return {name: origin(stem(file_name), beside[folder]) for name, (folder, _, file_name) in parts.items()}


def _is_marked(name: str, found: Origin) -> bool:
    return found.is_version or _is_copy(name)


def _numbered_anew(
    members: list[str], origins: Mapping[str, Origin], splits: Mapping[str, str]
) -> dict[str, list[str]]:
    """The photos of one origin by split if the numbers begin anew in each split folder; else all in one list.

    train/1.jpg and test/1.jpg are two photos. train/1_jpg.rf.HASH.jpg and test/1_jpg.rf.HASH.jpg are one.
    """
    parts: dict[str, list[str]] = {}
    places: dict[str, set[str]] = {}
    for name in members:
        split = splits.get(name, "")
        parts.setdefault(split, []).append(name)
        if not origins[name].is_hashed and not _is_copy(name):
            places.setdefault(name.rpartition("/")[2], set()).add(split)
    return parts if any(len(found) > 1 for found in places.values()) else {"": members}


def _is_copy(name: str) -> bool:
    return any(folder.lower() in COPY_FOLDERS for folder in name.split("/")[:-1])


def _by_frame(item: tuple[str, int | None]) -> tuple[int, str]:
    name, frame = item
    return (-1 if frame is None else frame), name
