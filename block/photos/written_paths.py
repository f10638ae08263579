"""Paths as label files write them: with other slashes, or from the root of another machine."""

import posixpath
import re
from collections.abc import Iterator

from block.photos.formats import normalized
from block.photos.levels import SPLIT_WORDS

DRIVE = re.compile(r"^[A-Za-z]:")


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path from the top down, without a drive, `.` and empty parts."""
    plain = DRIVE.sub("", normalized(path).replace("\\", "/"))
    return tuple(part for part in plain.split("/") if part not in ("", "."))


def readings(path: str, start: str) -> Iterator[str]:
    """The names below the photo folder that a path can mean, the likeliest first.

    The path begins at the folder `start` (empty for the photo folder). Where the data was moved since, its first parts
    no longer exist: they are left out one by one. A part that names a split is not left out, because another split
    would take its place.
    """
    parts = parts_of(path)
    for cut in range(max(len(parts), 1)):
        if cut and parts[cut - 1].lower() in SPLIT_WORDS:
            return
        name = posixpath.normpath(posixpath.join(start, *parts[cut:]) or ".")
        if name != ".." and not name.startswith("../"):
            yield "" if name == "." else name
