"""Finds the photos that a COCO file lists. It writes their paths from a folder that may have moved since."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from block.errors import BlockError
from block.photos.coco_file import CocoFile
from block.photos.folder import PhotoFolder
from block.photos.formats import normalized
from block.photos.levels import SPLIT_WORDS
from block.photos.written_paths import parts_of


class PhotosOfFile:
    """The photos that one COCO file can list.

    They lie below the file's folder, or else below the nearest folder above it that has photos.
    """

    def __init__(self, folder: PhotoFolder, file: CocoFile, split: str | None) -> None:
        """`split` is the split of the file; None if it has none. Photos in the folder of another split are not its."""
        self.file = file
        self.place = PurePosixPath(file.name).parent
        known = (*folder.paths, *folder.unreadable, *folder.others)
        photos = (*folder.paths, *folder.unreadable)
        start = next(each for each in (self.place, *self.place.parents) if _has(photos, each) or each.name == "")
        self.by_file_name: dict[str, list[str]] = {}
        for name in known:
            if split in (None, folder.levels.splits.get(name, split)) and PurePosixPath(name).is_relative_to(start):
                self.by_file_name.setdefault(_key(name.rpartition("/")[2]), []).append(name)
        written = [parts_of(image.file_name)[:-1] for image in file.images]
        # folders that all paths share can be those of another machine; others tell the photos apart
        self.most_cut = sum(1 for _ in takewhile(_is_left_out, zip(*written, strict=False)))

    def find(self, file_name: str) -> str | None:
        """The name of the photo with a path of the file; None if it does not exist.

        Raises BlockError if several photos fit.
        """
        parts = parts_of(file_name)
        for found in self._readings(parts):
            if len(found) > 1:
                raise BlockError(
                    f"{self.file.name} lists {file_name}, which can be {found[0]} or {found[1]}. Write the folder of "
                    "each photo into its file_name."
                )
            if found:
                return found[0]
        return None

    def _readings(self, parts: Sequence[str]) -> Iterator[list[str]]:
        fitting = self.by_file_name.get(_key(parts[-1]), []) if parts else []
        beside = (self.place / "/".join(parts)).as_posix()
        yield [name for name in fitting if name == beside]
        for cut in range(self.most_cut + 1):
            tail = [_key(part) for part in parts[cut:]]
            found = [name for name in fitting if [_key(part) for part in name.split("/")[-len(tail) :]] == tail]
            exact = [name for name in found if name.endswith(parts[-1])]
            yield exact or found


def _is_left_out(level: Sequence[str]) -> bool:
    return len(set(level)) == 1 and level[0].lower() not in SPLIT_WORDS


def _has(names: Sequence[str], place: PurePosixPath) -> bool:
    start = "" if place == PurePosixPath() else f"{place.as_posix()}/"
    return any(name.startswith(start) for name in names)


def _key(name: str) -> str:
    # upper and lower case are equal, because some programs rename .JPG to .jpg
    return normalized(name).casefold()
