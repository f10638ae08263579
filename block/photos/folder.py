"""The photos below a folder, and their names.

A photo's name is its path below the folder, written with slashes. The split depends only on these names. Therefore it
is the same on every operating system.
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
    """The photos to be prepared. All lie below `root`."""

    root: Path
    paths: dict[str, Path]  # by photo name, sorted by name


def photo_name(path: Path, root: Path) -> str:
    """The name of a photo or folder below `root`. It is the same on every machine."""
    relative = os.fsencode(path.relative_to(root).as_posix())
    # macOS stores a letter and its accent as two characters. Old archives have names that are not UTF-8.
    return unicodedata.normalize("NFC", relative.decode("utf-8", "backslashreplace"))


def split_folders(names: Iterable[str]) -> dict[str, str]:
    """The top folders that name a split, such as train/ and test/, and the split of each."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    found = {top: SPLIT_FOLDERS[top.lower()] for top in tops if top.lower() in SPLIT_FOLDERS}
    # A single folder train/ beside folders of other classes probably holds photos of trains.
    return found if len(set(found.values())) > 1 or len(found) == len(tops) else {}


def first_few(names: Sequence[str]) -> str:
    """The first three names, for a message; ", ..." follows if there are more."""
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
