"""Reads COCO labels: JSON files that list images by path, with the boxes on each. A file can be the list of a split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from block.photos.coco_file import CocoFile, CocoImage, read_coco
from block.photos.coco_photos import PhotosOfFile
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import Annotations, Drawing, GivenSplits
from block.photos.levels import speaking_folders
from block.photos.listed_splits import splits_from_lists

SUFFIX = ".json"


@dataclass(frozen=True)
class _Listed:
    """What the files say about photos. Keys of `images` are photo names."""

    images: dict[str, list[tuple[str, CocoImage]]] = field(default_factory=dict)
    """The entries of each photo: the file, and the image in it."""
    of_file: dict[str, list[str]] = field(default_factory=dict)
    """The photos that each file lists."""
    absent: list[str] = field(default_factory=list)


def read(folder: PhotoFolder) -> Annotations:
    """The classes and boxes in COCO files. A listed photo without annotations has no boxes.

    Raises BlockError if a file is damaged or contradicts itself, or if an image could be several photos.
    """
    names = sorted(name for name in folder.others if name.lower().endswith(SUFFIX))
    files = [content for name in names if (content := read_coco(folder.others[name], name))]
    split_of = _split_of(files)
    listed = _listed(folder, files, split_of)
    splits, split_warnings = _splits(listed, split_of)
    found = Annotations(
        absent=tuple(sorted(set(listed.absent))),
        splits=splits,
        warnings=(*_warnings(files, listed), *split_warnings),
    )
    for name, entries in listed.images.items():
        problem = next((image.problem for _, image in entries if image.problem), "") or _contradiction(entries)
        if problem:
            found.unread[name] = problem
            continue
        file, image = max(entries, key=lambda entry: len(entry[1].boxes))
        found.drawings[name] = Drawing(file, image.boxes, image.size)
        found.classes[name] = frozenset(label for label, _ in image.boxes)
    return found


def _listed(folder: PhotoFolder, files: Iterable[CocoFile], split_of: Mapping[str, str]) -> _Listed:
    listed = _Listed()
    for file in files:
        photos = PhotosOfFile(folder, file, split_of.get(file.name))
        for image in file.images:
            name = photos.find(image.file_name)
            if name is None:
                listed.absent.append(image.file_name)
            elif name in folder.paths:
                listed.images.setdefault(name, []).append((file.name, image))
                listed.of_file.setdefault(file.name, []).append(name)
    return listed


def _contradiction(entries: Sequence[tuple[str, CocoImage]]) -> str:
    """Why several entries of one photo cannot be used together; empty if one of them holds all boxes of the others."""
    file, fullest = max(entries, key=lambda entry: len(entry[1].boxes))
    all_boxes = _boxes(fullest)
    for other, image in entries:
        if not _boxes(image) <= all_boxes:
            both = f"{file} and {other} list" if file != other else f"Two entries of {file} give"
            return f"{both} different boxes for it. Remove one."
    return ""


def _boxes(image: CocoImage) -> set[tuple[str, tuple[float, ...]]]:
    return {(label, tuple(edges.tolist())) for label, edges in image.boxes}


def _split_of(files: Sequence[CocoFile]) -> dict[str, str]:
    """The split that the name of each file speaks of, or else the name of its folder. Empty if all speak of one."""
    stems = {file.name: PurePosixPath(file.name).name.split(".")[0] for file in files}
    places = {file.name: PurePosixPath(file.name).parent.name for file in files}
    by_stem, by_place = speaking_folders(stems.values()), speaking_folders(places.values())
    found = {name: by_stem.get(stems[name]) or by_place.get(places[name]) for name in stems}
    told = {name: split for name, split in found.items() if split}
    return told if len(set(told.values())) > 1 else {}


def _splits(listed: _Listed, split_of: Mapping[str, str]) -> tuple[GivenSplits, tuple[str, ...]]:
    photos_of: dict[str, list[str]] = {}
    for file, split in split_of.items():
        photos_of.setdefault(split, []).extend(listed.of_file.get(file, ()))
    return splits_from_lists("the files " + ", ".join(split_of), photos_of)


def _warnings(files: Sequence[CocoFile], listed: _Listed) -> list[str]:
    warnings = []
    # a category that one file does not use can occur in another
    used = {label for entries in listed.images.values() for _, image in entries for label, _ in image.boxes}
    unused = sorted({label for file in files for label in file.unused} - used)
    if unused:
        warnings.append(f"{len(unused)} categories in COCO files have no box, and are left out: {first_few(unused)}.")
    orphans = {file.name: file.orphans for file in files if file.orphans}
    if orphans:
        warnings.append(
            f"{sum(orphans.values())} annotations in {first_few(list(orphans))} are left out, because their images are "
            "not listed."
        )
    crowds = {name: max(image.crowds for _, image in entries) for name, entries in listed.images.items()}
    crowded = [name for name, count in crowds.items() if count]
    if crowded:
        warnings.append(
            f"{sum(crowds.values())} annotations of crowds (iscrowd) are left out, because they have no box for each "
            f"object. The crowds on {len(crowded)} photos count as background: {first_few(crowded)}."
        )
    return warnings
