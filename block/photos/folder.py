"""The photos below a folder, and their names.

A photo's name is its path below the folder, written with slashes. The split depends only on these names. Therefore it
is the same on every operating system.
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from block.photos.levels import Levels, levels

EXAMPLES = 3


@dataclass(frozen=True)
class PhotoFolder:
    """The photos to be prepared, and what lies beside them. All lie below `root`."""

    root: Path
    paths: dict[str, Path]  # by photo name, sorted by name
    unreadable: Mapping[str, Path] = field(default_factory=dict)
    """The photos whose header cannot be read, by photo name."""
    others: Mapping[str, Path] = field(default_factory=dict)
    """The files that are no photos by their names, by name below `root`: labels, notes, videos and others."""
    folders: Sequence[str] = ()
    """All folders, by name below `root`."""

    @cached_property
    def levels(self) -> Levels:
        """The meaning of the folders above the photos, unreadable ones included."""
        return levels((*self.paths, *self.unreadable))


def photo_name(path: Path, root: Path) -> str:
    """The name of a photo or folder below `root`. It is the same on every machine."""
    relative = os.fsencode(path.relative_to(root).as_posix())
    # macOS stores a letter and its accent as two characters. Old archives have names that are not UTF-8.
    return unicodedata.normalize("NFC", relative.decode("utf-8", "backslashreplace"))


def first_few(names: Sequence[str]) -> str:
    """The first three names, for a message; ", ..." follows if there are more."""
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
