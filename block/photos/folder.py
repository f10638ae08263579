"""The photos below a folder, by the names that every decision about them is made on.

A name is the path below the folder, with slashes, so that neither the operating system nor the order of its
directories can change a split.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "holdout",
    "testing": "holdout",
}
EXAMPLES = 3


@dataclass(frozen=True)
class PhotoFolder:
    """Photos to be prepared, all of them below `root`."""

    root: Path
    paths: dict[str, Path]  # by name, sorted by name


def photo_name(path: Path, root: Path) -> str:
    """What a photo or folder below `root` is called on every machine."""
    relative = os.fsencode(path.relative_to(root).as_posix())
    # macOS stores accents apart from their letters; names that are not UTF-8 come from old archives.
    return unicodedata.normalize("NFC", relative.decode("utf-8", "backslashreplace"))


def split_folders(names: Iterable[str]) -> dict[str, str]:
    """The top folders that stand for a split, such as train/ and test/."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    found = {top: SPLIT_FOLDERS[top.lower()] for top in tops if top.lower() in SPLIT_FOLDERS}
    # Beside other classes, train/ alone may well hold photos of trains.
    return found if len(set(found.values())) > 1 or len(found) == len(tops) else {}


def first_few(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
