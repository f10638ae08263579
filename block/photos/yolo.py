"""Reads YOLO labels: a text file for each photo, and a file that names the classes."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from block.errors import BlockError
from block.photos.folder import PhotoFolder, first_few, photo_name
from block.photos.formats import Annotations, Drawing
from block.photos.pairing import NamedPhoto, label_files, pair
from block.photos.yolo_file import YoloObject, looks_like_yolo, read_objects
from block.photos.yolo_set import YoloSet, is_name_list, read_set
from block.photos.yolo_splits import read_splits

SUFFIX, LABEL_FOLDER = ".txt", "labels"
# A larger file is not the file of one photo.
MOST_BYTES = 10_000_000
PEEKED_CHARACTERS = 4096


def read(folder: PhotoFolder) -> Annotations:
    """The classes and boxes in YOLO label files, in shares. A photo with an empty file has no boxes.

    Raises BlockError if the files that describe the set are not understood, if a class number is not among their names,
    if several photos could have one file, or if polygons could also be poses.
    """
    texts, broken = _texts(folder)
    if not any(map(looks_like_yolo, texts.values())):
        return Annotations()
    described = read_set(folder)
    contents: dict[Path, list[YoloObject]] = {}
    for file, text in texts.items():
        try:
            contents[file] = read_objects(text, described.keypoint_numbers)
        except ValueError as error:
            broken[file] = f"{photo_name(file, folder.root)}, {error}. Correct the line, or remove it."
    pairs = pair(folder, dict.fromkeys((*contents, *broken), NamedPhoto()), LABEL_FOLDER)
    used = {file: contents[file] for files in pairs.files.values() for file in files if file in contents}
    names = _names(folder, described, used)
    _refuse_doubtful_polygons(folder, described, used)
    splits, split_warnings = read_splits(folder, described.places)
    found = Annotations(
        unread=pairs.refused,
        absent=tuple(name for name in pairs.absent if _is_label_file(folder, name, texts)),
        has_own_files=True,
        unit="shares",
        splits=splits,
        warnings=(*_name_warnings(folder, described, names, used), *described.warnings, *split_warnings),
    )
    for name, files in pairs.files.items():
        problem = next((broken[file] for file in files if file in broken), "")
        if not problem and any(_boxes(contents[file], names) != _boxes(contents[files[0]], names) for file in files):
            both = " and ".join(photo_name(file, folder.root) for file in files[:2])
            problem = f"{both} both belong to it, and differ. Remove one."
        if problem:
            found.unread[name] = problem
            continue
        boxes = [(label, np.array(edges)) for label, edges in _boxes(contents[files[0]], names)]
        found.drawings[name] = Drawing(photo_name(files[0], folder.root), boxes)
        found.classes[name] = frozenset(label for label, _ in boxes)
    return found


def stray_files(folder: PhotoFolder) -> list[str]:
    """The YOLO label files anywhere below the photo folder, by name."""
    texts = (name for name in folder.others if name.lower().endswith(SUFFIX) and not is_name_list(name))
    return [name for name in texts if looks_like_yolo(_beginning(folder.others[name]))]


def _beginning(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(PEEKED_CHARACTERS)
    except OSError:
        return ""


def _texts(folder: PhotoFolder) -> tuple[dict[Path, str], dict[Path, str]]:
    """The texts of the label files, and of those that cannot be read the reasons."""
    texts: dict[Path, str] = {}
    broken: dict[Path, str] = {}
    for file in label_files(folder, SUFFIX, LABEL_FOLDER):
        name = photo_name(file, folder.root)
        if is_name_list(name):
            continue
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES // 10**6} MB, so it is not the file of one photo")
            texts[file] = file.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            broken[file] = f"{name} cannot be read: {error}. Repair or remove it."
    return texts, broken


def _is_label_file(folder: PhotoFolder, name: str, texts: Mapping[Path, str]) -> bool:
    """False for a text without a photo that is probably no label file, such as README.txt beside the photos."""
    path = folder.root / name
    return LABEL_FOLDER in map(str.lower, name.split("/")[:-1]) or looks_like_yolo(texts.get(path, ""))


def _boxes(objects: list[YoloObject], names: Mapping[int, str]) -> list[tuple[str, tuple[float, ...]]]:
    return [(names[each.number], each.edges) for each in objects]


def _names(folder: PhotoFolder, described: YoloSet, contents: Mapping[Path, list[YoloObject]]) -> Mapping[int, str]:
    """The name of each class number. Without a file that names classes, a class has the name of its number.

    Raises BlockError with file and line if a class has no name.
    """
    if not described.file:
        return {each.number: str(each.number) for objects in contents.values() for each in objects}
    for file, objects in contents.items():
        for each in objects:
            if each.number not in described.names:
                raise BlockError(
                    f"{photo_name(file, folder.root)}, line {each.line}: class {each.number} has no name in "
                    f"{described.file}, which names the classes {_numbers(described.names)}. Correct the line, or add "
                    "the name."
                )
    return described.names


def _numbers(names: Mapping[int, str]) -> str:
    numbers = sorted(names)
    is_range = len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if is_range else first_few([str(number) for number in numbers])


def _name_warnings(
    folder: PhotoFolder,
    described: YoloSet,
    names: Mapping[int, str],
    contents: Mapping[Path, list[YoloObject]],
) -> list[str]:
    counts = Counter(names[each.number] for objects in contents.values() for each in objects)
    if not described.file:
        return [
            f"No data.yaml or classes.txt in {folder.root} names the classes of the YOLO labels. Their numbers are "
            f"their names: {first_few(sorted(counts))}. Add a file classes.txt with one name a line, or name the "
            "folder that holds data.yaml."
        ]
    unused = [name for name in dict.fromkeys(names.values()) if not counts[name]]
    if not unused:
        return []
    return [f"{len(unused)} classes in {described.file} have no box, and are left out: {first_few(unused)}."]


def _refuse_doubtful_polygons(
    folder: PhotoFolder, described: YoloSet, contents: Mapping[Path, list[YoloObject]]
) -> None:
    """Raises BlockError if nothing tells polygons from poses: no data.yaml, and each fits both.

    With a data.yaml, poses have kpt_shape there.
    """
    longer = [
        (file, each) for file, objects in contents.items() for each in objects if each.count % 2 and each.count > 5
    ]
    if described.is_yaml or not longer or len({each.count for _, each in longer}) > 1:
        return
    if all(each.may_be_pose for _, each in longer):
        file, each = longer[0]
        raise BlockError(
            f"The lines of {each.count} numbers, such as line {each.line} of {photo_name(file, folder.root)}, can be "
            "polygons or boxes with keypoints. Add the set's data.yaml: with kpt_shape for keypoints, without for "
            "polygons."
        )
