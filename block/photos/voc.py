"""Reads the Pascal VOC files of a folder of photos: one XML file for each photo."""

from pathlib import Path

import numpy as np

from block.errors import BlockError
from block.photos.folder import PhotoFolder, photo_name
from block.photos.formats import Annotations, Drawing, box_numbers
from block.photos.pairing import NamedPhoto, label_files, pair
from block.photos.voc_file import VocFile, VocObject, read_voc

SUFFIX, LABEL_FOLDER = ".xml", "annotations"


def read(folder: PhotoFolder) -> Annotations:
    """The classes and boxes in Pascal VOC files. A file without a size gives px of the photo as it was drawn on.

    Raises BlockError if several photos could have one file.
    """
    contents: dict[Path, VocFile] = {}
    broken: dict[Path, str] = {}
    for file in label_files(folder, SUFFIX, LABEL_FOLDER):
        try:
            contents[file] = read_voc(file, photo_name(file, folder.root))
        except BlockError as error:
            broken[file] = str(error)
    named = {file: NamedPhoto(content.file_name, content.folders) for file, content in contents.items()}
    pairs = pair(folder, named | dict.fromkeys(broken, NamedPhoto()), LABEL_FOLDER)
    # the edges of a box are named, so that shares have only one meaning
    found = Annotations(
        unread=pairs.refused, absent=pairs.absent, needs_file=True, has_own_files=True, unit="px or shares"
    )
    for name, files in pairs.files.items():
        problems = [broken[file] for file in files if file in broken]
        if not problems and any(_differ(contents[files[0]], contents[file]) for file in files[1:]):
            both = " and ".join(photo_name(file, folder.root) for file in files[:2])
            problems = [f"{both} both belong to it, and differ. Remove one."]
        if problems:
            found.unread[name] = problems[0]
        else:
            _add(found, name, contents[files[0]], photo_name(files[0], folder.root))
    return found


def _differ(one: VocFile, other: VocFile) -> bool:
    return (one.objects, one.size) != (other.objects, other.size)


def _add(found: Annotations, name: str, content: VocFile, file: str) -> None:
    labels = [each.label for each in content.objects]
    if all(labels):
        found.classes[name] = frozenset(labels)
    try:
        found.drawings[name] = Drawing(file, [_box(file, each) for each in content.objects], content.size)
    except BlockError as error:
        found.unread[name] = str(error)


def _box(file: str, each: VocObject) -> tuple[str, np.ndarray]:
    left, top, right, bottom = box_numbers(file, each.label, each.edges)
    # some tools start the box at another corner than the top left one
    return each.label, np.array([min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)])
