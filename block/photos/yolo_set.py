"""Reads what describes a YOLO set: data.yaml (class names, keypoints, the places of its splits), or a list of names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from block.errors import BlockError
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import normalized

YAML_SUFFIXES = (".yaml", ".yml")
# labelImg, Label Studio, CVAT and Roboflow write such a list: one name a line.
LIST_NAMES = ("classes.txt", "predefined_classes.txt", "_darknet.labels")
LIST_SUFFIX = ".names"
# A larger file is no description of a set.
MOST_BYTES = 1_000_000
NOTHING = ("", "~", "null")
# The keys of data.yaml that give the photos of a split.
SPLIT_KEYS = {"train": "train", "val": "validation", "valid": "validation", "test": "holdout"}


@dataclass(frozen=True)
class YoloPlace:
    """Where the photos of a split lie, as a data.yaml writes it."""

    file: str
    """The data.yaml, relative to the photo folder."""
    split: str
    base: str
    """Its `path`, below which the place lies; empty if there is none."""
    written: str
    """A folder, a photo, or a list of photos."""


@dataclass(frozen=True)
class YoloSet:
    """What the files that describe a YOLO set say. It is empty if there are none."""

    file: str = ""
    """The file that names the classes, relative to the photo folder."""
    names: Mapping[int, str] = field(default_factory=dict)
    """The name of each class by its number."""
    keypoint_numbers: int | None = None
    """How many numbers the keypoints of a pose have together; None if the set has no poses, or does not say."""
    is_yaml: bool = False
    places: tuple[YoloPlace, ...] = ()
    warnings: tuple[str, ...] = ()


def read_set(folder: PhotoFolder) -> YoloSet:
    """What the data.yaml of a folder says, or a list of names where there is none.

    Raises BlockError if such a file is not understood, or if two of them name different classes.
    """
    by_depth = sorted(folder.others, key=lambda name: (name.count("/"), name))
    described = {
        name: content
        for name in by_depth
        if PurePosixPath(name).suffix.lower() in YAML_SUFFIXES
        and (content := _content(name, folder.others[name])) is not None
    }
    if described:
        found = {name: _names(name, content["names"]) for name, content in described.items()}
        file = _only(found)
        content = described[file]
        places = tuple(place for name, each in described.items() for place in _places(name, each))
        warnings = _name_warnings(file, found[file], content.get("nc"))
        return YoloSet(file, found[file], _keypoint_numbers(file, content), True, places, warnings)
    lists = {name: _listed(name, folder.others[name]) for name in by_depth if is_name_list(name)}
    if not lists:
        return YoloSet()
    file = _only(lists)
    return YoloSet(file, lists[file], warnings=_name_warnings(file, lists[file], None))


def is_name_list(name: str) -> bool:
    """True if the name of a file says that it lists the names of classes."""
    path = PurePosixPath(name)
    return path.name.lower() in LIST_NAMES or path.suffix.lower() == LIST_SUFFIX


class _Loader(yaml.BaseLoader):
    """Reads scalars as text, and refuses a key that occurs twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _content(name: str, path: Path) -> dict[str, Any] | None:
    """The content of a YAML file; None if it names no classes. All scalars are text: `no` and `01` stay as written."""
    text = _text(name, path) if path.stat().st_size <= MOST_BYTES else ""
    if "names" not in text:
        return None
    try:
        content = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise BlockError(f"{name} cannot be read as YAML: {' '.join(str(error).split())}. Correct it.") from error
    return content if isinstance(content, dict) and "names" in content else None


def _text(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BlockError(f"{name} cannot be read: {error}. Save it as UTF-8.") from error


def _names(file: str, names: Any) -> dict[int, str]:
    numbered = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(numbered, dict) or not numbered:
        raise BlockError(f"{file} has no class names. Write names: [cat, dog], or a line such as 0: cat for each.")
    found: dict[int, str] = {}
    for number, name in numbered.items():
        if not isinstance(name, str) or not normalized(name) or not str(number).isdecimal() or int(number) in found:
            raise BlockError(
                f"{file} names class {number} {name!r}. A class needs a name, and a number of its own from 0 on."
            )
        found[int(number)] = normalized(name)
    return found


def _listed(file: str, path: Path) -> dict[int, str]:
    lines = _text(file, path).splitlines()
    return {number: label for number, line in enumerate(lines) if (label := normalized(line))}


def _only(found: Mapping[str, Mapping[int, str]]) -> str:
    """The first of files that name the same classes. Raises BlockError if two differ."""
    first, *rest = found
    for name in rest:
        if found[name] != found[first]:
            raise BlockError(f"{first} and {name} name different classes. Remove one, or prepare their photos apart.")
    return first


def _name_warnings(file: str, names: Mapping[int, str], count: Any) -> tuple[str, ...]:
    warnings = []
    twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if twice:
        warnings.append(f"{file} gives several numbers the name {first_few(twice)}. They are one class.")
    if isinstance(count, str) and count not in (*NOTHING, str(len(names))):
        warnings.append(f"{file} says that there are {count} classes (nc), but names {len(names)}. The names are used.")
    return tuple(warnings)


def _keypoint_numbers(file: str, content: Mapping[str, Any]) -> int | None:
    shape = content.get("kpt_shape")
    if shape is None or shape in NOTHING:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and all(str(each).isdecimal() for each in shape)):
        raise BlockError(f"{file} has kpt_shape {shape!r}. It needs two numbers, such as [17, 3].")
    return int(shape[0]) * int(shape[1])


def _places(file: str, content: Mapping[str, Any]) -> Iterator[YoloPlace]:
    base = content.get("path", "")
    for key, split in SPLIT_KEYS.items():
        entries = content.get(key, "")
        entries = entries if isinstance(entries, list) else [entries]
        if not all(isinstance(each, str) for each in (base, *entries)):
            raise BlockError(f"{file} gives {key} or path in a form that is not understood. Name a folder or a list.")
        for written in entries:
            if written not in NOTHING:
                yield YoloPlace(file, split, "" if base in NOTHING else base, written)
