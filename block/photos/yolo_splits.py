"""Finds the photos of the splits that a YOLO set's data.yaml gives: folders, photos, or lists of photos."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import GivenSplits
from block.photos.listed_splits import splits_from_lists
from block.photos.written_paths import readings
from block.photos.yolo_set import YoloPlace

LIST_SUFFIX = ".txt"


def read_splits(folder: PhotoFolder, places: tuple[YoloPlace, ...]) -> tuple[GivenSplits, tuple[str, ...]]:
    """The splits at the places, and warnings about places and photos that do not exist or are in two splits."""
    photos_of: dict[str, list[str]] = {}
    warnings: list[str] = []
    folders = {parent.as_posix() for name in folder.paths for parent in PurePosixPath(name).parents}
    for place in places:
        found = next((name for name in _readings(place) if _exists(folder, folders, name)), None)
        if found is None:
            warnings.append(f"{place.file} names {place.written} for a split. It does not exist, or has no photos.")
            continue
        listed, missing = _photos_at(folder, place, found)
        photos_of.setdefault(place.split, []).extend(listed)
        if missing:
            warnings.append(f"{len(missing)} photos that {found} lists do not exist: {first_few(missing)}.")
    origin = " and ".join(dict.fromkeys(place.file for place in places))
    splits, twice = splits_from_lists(origin, photos_of)
    return splits, (*warnings, *twice)


def _readings(place: YoloPlace) -> Iterator[str]:
    start = PurePosixPath(place.file).parent.as_posix()
    if place.base:
        yield from readings(f"{place.base}/{place.written}", start)
    yield from readings(place.written, start)


def _exists(folder: PhotoFolder, folders: set[str], name: str) -> bool:
    return (name or ".") in folders or name in folder.paths or _is_list(folder, name)


def _is_list(folder: PhotoFolder, name: str) -> bool:
    return name in folder.others and name.lower().endswith(LIST_SUFFIX)


def _photos_at(folder: PhotoFolder, place: YoloPlace, found: str) -> tuple[list[str], list[str]]:
    """The photos in a folder or list, and the lines of a list whose photos do not exist."""
    if not _is_list(folder, found):
        return [name for name in folder.paths if not found or name == found or name.startswith(f"{found}/")], []
    starts = [PurePosixPath(found).parent.as_posix(), PurePosixPath(place.file).parent.as_posix()]
    known = folder.paths.keys() | folder.unreadable.keys() | folder.others.keys()
    listed, missing = [], []
    for line in folder.others[found].read_text(encoding="utf-8-sig", errors="replace").splitlines():
        if not line.strip():
            continue
        names = (name for start in starts for name in readings(line, start) if name in known)
        name = next(names, None)
        if name is None:
            missing.append(line.strip())
        elif name in folder.paths:
            listed.append(name)
    return listed, missing
