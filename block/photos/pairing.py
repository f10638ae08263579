"""Finds the label file of each photo, for formats with one file for each photo. A file belongs to one photo only.

A file has the photo's name. It lies beside the photo, or in a folder for labels (Annotations, labels) in or above the
photo's folder. Where that fits several photos, the photo that the file itself names decides.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from block.errors import BlockError
from block.photos.folder import PhotoFolder, photo_name
from block.photos.formats import normalized
from block.photos.levels import speaking_folders
from esp32_deploy.file_kinds import ALL_PHOTO_SUFFIXES


@dataclass(frozen=True)
class NamedPhoto:
    """The photo that a label file names in its text; empty where it names none."""

    file_name: str = ""
    folders: tuple[tuple[str, ...], ...] = ()
    """The photo's folder in one or more spellings: its parts from the top down."""


@dataclass(frozen=True)
class Pairs:
    """The label files of a folder of photos."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    """The files of each photo that has any, by photo name. The nearest file is first."""
    refused: dict[str, str] = field(default_factory=dict)
    """The reasons why photos have no file although one has their name, by photo name."""
    absent: tuple[str, ...] = ()
    """The files whose photo does not exist, relative to the photo folder."""


@dataclass(frozen=True)
class _Layout:
    """Where photos and label files lie."""

    root: Path
    paths: Mapping[str, Path]
    """The photos, by photo name."""
    by_place: Mapping[tuple[Path, str], str]
    """The names of the photos, by their folder and the key of their file name."""
    folders: dict[str, list[Path]]
    """The folders with photos, by the key of their name."""
    places: dict[Path, list[Path]]
    """The places of label files for each folder with photos, the nearest first."""
    served: dict[Path, list[Path]]
    """The folders with photos whose label files can lie in a place."""
    on_disk: dict[Path, set[str]]
    """The keys of the names of all photos in each folder, and of their stems. Some may not be readable."""


def label_files(folder: PhotoFolder, suffix: str, label_folder: str) -> list[Path]:
    """All files with the suffix in the places where label files of the photos can lie.

    Suffix and `label_folder`, the name of the folders for labels, have lower case; the files may have another.
    """
    places = {place for each in _places_of(folder, label_folder).values() for place in each}
    return [path for place in sorted(places) for path in _visible(place) if path.suffix.lower() == suffix]


def pair(folder: PhotoFolder, named: Mapping[Path, NamedPhoto], label_folder: str) -> Pairs:
    """The files of each photo, among the files in `named`, which gives the photo that each file names.

    Raises BlockError with the names of file and photos if several photos could have one file.
    """
    layout = _layout(folder, label_folder)
    candidates = _candidates(layout, named)
    owners = _owner_of_each(layout, candidates, named)
    pairs: dict[str, list[Path]] = {}
    for file in dict.fromkeys(chain(*candidates.values())):
        if file in owners:
            pairs.setdefault(owners[file], []).append(file)
    claimed = set(chain(*candidates.values()))
    unclaimed = {file: photo for file, photo in named.items() if file not in claimed}
    pairs |= _owners_by_file_name(layout, unclaimed, set(pairs))
    refused = {
        name: _reason(layout, files[0], owners.get(files[0]), named[files[0]])
        for name, files in candidates.items()
        if files and name not in pairs
    }
    used = set(chain(*pairs.values()))
    absent = [file for file in named if file not in used and not _has_photo(layout, file, named[file])]
    return Pairs(pairs, refused, tuple(sorted(photo_name(file, folder.root) for file in absent)))


# --- where label files lie ---------------------------------------------------------------------------------


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    except OSError as error:
        raise BlockError(f"{folder} cannot be listed: {error.strerror}. Change its permissions.") from error


def _layout(folder: PhotoFolder, label_folder: str) -> _Layout:
    places = _places_of(folder, label_folder)
    served: dict[Path, list[Path]] = {}
    folders: dict[str, list[Path]] = {}
    for directory, near in places.items():
        folders.setdefault(_key(directory.name), []).append(directory)
        for place in near:
            served.setdefault(place, []).append(directory)
    on_disk = {
        directory: {
            _key(name)
            for path in directory.iterdir()
            if path.suffix.lower() in ALL_PHOTO_SUFFIXES
            for name in (path.name, path.stem)
        }
        for directory in places
    }
    by_place = {(path.parent, _key(path.name)): name for name, path in folder.paths.items()}
    return _Layout(folder.root, folder.paths, by_place, folders, places, served, on_disk)


def _places_of(folder: PhotoFolder, label_folder: str) -> dict[Path, list[Path]]:
    directories = sorted({path.parent for path in folder.paths.values()})
    above = {each for directory in directories for each in _up_to(folder.root, directory)}
    label_folders = {
        each: sorted(path for path in each.iterdir() if path.name.casefold() == label_folder and path.is_dir())
        for each in above
    }
    return {directory: list(dict.fromkeys(_places(directory, folder.root, label_folders))) for directory in directories}


def _up_to(root: Path, directory: Path) -> list[Path]:
    """The folders from `directory` up to `root`."""
    return [each for each in (directory, *directory.parents) if each.is_relative_to(root)]


def _places(directory: Path, root: Path, label_folders: Mapping[Path, Iterable[Path]]) -> Iterator[Path]:
    yield directory
    for above in _up_to(root, directory):
        # for photos in images/dogs, also Annotations/images/dogs and Annotations/dogs
        inner = directory.relative_to(above).parts
        for labels in label_folders[above]:
            yield from (place for cut in range(len(inner) + 1) if (place := labels.joinpath(*inner[cut:])).is_dir())


def _candidates(layout: _Layout, files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files that have a photo's name, by photo name, the nearest first: 1.xml or 1.jpg.xml for 1.jpg."""
    by_stem: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        by_stem.setdefault((file.parent, _key(file.stem)), []).append(file)
    candidates: dict[str, list[Path]] = {}
    for name, path in layout.paths.items():
        stems = (path.stem, path.name)
        candidates[name] = []
        for place in layout.places[path.parent]:
            fitting = [file for stem in stems for file in by_stem.get((place, _key(stem)), ())]
            exact = [file for file in fitting if normalized(file.stem) in map(normalized, stems)]
            candidates[name] += exact or fitting
    return candidates


def _key(name: str) -> str:
    # upper and lower case are equal, because some programs rename .JPG to .jpg
    return normalized(name).casefold()


# --- which photo a file belongs to -------------------------------------------------------------------------


def _owner_of_each(
    layout: _Layout, candidates: Mapping[str, Sequence[Path]], named: Mapping[Path, NamedPhoto]
) -> dict[Path, str]:
    """The photo of each file that has a photo's name. Raises BlockError if several photos could have one file."""
    claims: dict[Path, list[str]] = {}
    for name, files in candidates.items():
        for file in files:
            claims.setdefault(file, []).append(name)
    owners: dict[Path, list[str]] = {}
    for file, claimants in claims.items():
        owners[file] = _owners(layout, file, claimants, named[file])
        rightful = _rightful_owner(layout, owners[file], named[file])
        if rightful and not candidates[rightful]:  # else the file was copied with its photo
            owners[file] = [rightful]
    for file, names in owners.items():
        # a photo with a nearer file of its own does not need this one
        rest = [name for name in names if owners[candidates[name][0]] != [name]] if len(names) > 1 else names
        if len(rest) > 1:
            raise BlockError(
                f"{photo_name(file, layout.root)} could belong to {rest[0]} and to {rest[1]}. A label file belongs to "
                "one photo. Give each photo its own file. A Pascal VOC file can also name the photo's folder and file."
            )
        owners[file] = rest
    return {file: names[0] for file, names in owners.items() if names}


def _owners(layout: _Layout, file: Path, claimants: Sequence[str], named: NamedPhoto) -> list[str]:
    """The photos among `claimants` that the file can belong to, according to the photo that it names."""
    parents = {name: layout.paths[name].parent for name in claimants}
    left = list(claimants)
    if file.parent not in parents.values():  # a file beside its photo has moved with it
        told = _told_folders(layout, file, named)
        in_told = [name for name in left if parents[name] in told]
        moved = [name for name in left if not told or _moved_to_another_split(layout, name, told)]
        left = in_told or moved
    told_name = _key(named.file_name)
    same = [name for name in left if _key(layout.paths[name].name) == told_name]
    same = same or [name for name in left if _key(layout.paths[name].stem) == told_name]
    left = same or [name for name in left if told_name not in layout.on_disk[parents[name]]]
    for parts in named.folders:
        agreements = [_common_end(parents[name].parts, parts) for name in left]
        left = [name for name, agreement in zip(left, agreements, strict=True) if agreement == max(agreements)]
    return left


def _rightful_owner(layout: _Layout, owners: Sequence[str], named: NamedPhoto) -> str | None:
    """The photo in another folder that a file names, if its place gives it to photos in folders with other names."""
    told = _told_folder(named)
    if any(_key(layout.paths[name].parent.name) == told for name in owners):
        return None
    photos = [layout.by_place.get((each, _key(named.file_name))) for each in layout.folders.get(told, ())]
    return photos[0] if len(photos) == 1 else None


def _told_folders(layout: _Layout, file: Path, named: NamedPhoto) -> list[Path]:
    """The folders with photos that have the name of the folder in the file. There are none if it names an older one."""
    same_name = layout.folders.get(_told_folder(named), ())
    return [directory for directory in same_name if file.parent in layout.places[directory]]


def _told_folder(named: NamedPhoto) -> str:
    return _key(named.folders[0][-1]) if named.folders else ""


def _moved_to_another_split(layout: _Layout, name: str, told: Sequence[Path]) -> bool:
    """True if a photo was probably moved, after it was labelled, from a folder such as train/ to one such as test/."""
    path = layout.paths[name]
    directories = {directory.name for directory in (path.parent, *told)}
    between_splits = directories == speaking_folders(directories).keys()
    return between_splits and not any(_key(path.name) in layout.on_disk[directory] for directory in told)


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of last parts that both have in common."""
    pairs = list(zip(map(_key, reversed(one)), map(_key, reversed(other)), strict=False))
    return next((index for index, (left, right) in enumerate(pairs) if left != right), len(pairs))


def _owners_by_file_name(
    layout: _Layout, unclaimed: Mapping[Path, NamedPhoto], taken: Iterable[str]
) -> dict[str, list[Path]]:
    """The files that have no photo's name, by the photo that they name. No other file belongs to such a photo."""
    found: dict[str, list[Path]] = {}
    for file, named in unclaimed.items():
        places = _told_folders(layout, file, named) or layout.served[file.parent]
        key = _key(named.file_name)
        names = [layout.by_place[place, key] for place in places if (place, key) in layout.by_place]
        if len(names) == 1 and names[0] not in taken:
            found.setdefault(names[0], []).append(file)
    return {name: files for name, files in found.items() if len(files) == 1}


def _reason(layout: _Layout, file: Path, owner: str | None, named: NamedPhoto) -> str:
    told = "/".join((*(named.folders[0] if named.folders else ()), named.file_name))
    return f"{photo_name(file, layout.root)} belongs to {owner or told}, by the photo that it names"


def _has_photo(layout: _Layout, file: Path, named: NamedPhoto) -> bool:
    """True if the photo of a file exists, even if it cannot be read."""
    names = {_key(file.stem), _key(named.file_name)}
    return any(names & layout.on_disk[directory] for directory in layout.served[file.parent])
