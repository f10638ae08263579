"""Finds the photos below a folder whose header can be read, and what lies beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from block.errors import BlockError
from block.photos.folder import PhotoFolder, first_few, photo_name
from block.photos.formats import refuse_many_unread
from block.photos.scenes import taken
from esp32_deploy.file_kinds import describe_unread, is_photo
from esp32_deploy.photos import UnreadablePhotoError, opened, used_range, walk_all, what_photos_are

UNREADABLE_REMEDY = "Replace or remove these photos."
# A camera of 12 bits uses a sixteenth of the range of 16 bits, one of 14 bits a quarter.
SMALL_RANGE = 0.25


@dataclass(frozen=True)
class Found:
    """The photos, and what their files say before they are decoded. All mappings are by photo name."""

    folder: PhotoFolder
    skipped: dict[str, str]
    """Why photos cannot be read."""
    times: Mapping[str, datetime]
    """When photos were taken, if they say so."""
    deep: Mapping[str, tuple[float, float]]
    """The smallest and the largest value of each photo of 16 bits per channel, 0..1."""

    def warnings(self) -> list[str]:
        """Sentences about files that are not read, and about 16-bit photos that are almost black or gray."""
        return [text for text in (describe_unread(self.folder.others), _small_ranges(self.deep)) if text]


def find(photos: Path) -> Found:
    """Looks at all files below the folder. Raises BlockError if there are no photos, or if many are unreadable."""
    files: dict[str, Path] = {}
    folders: list[str] = []
    for path, is_folder in walk_all(photos):
        if is_folder:
            folders.append(photo_name(path, photos))
        else:
            files[photo_name(path, photos)] = path
    named = {name: path for name, path in sorted(files.items()) if is_photo(path)}
    if not named:
        raise BlockError(f"There are no photos in {photos} or the folders below it. {what_photos_are(photos)}")
    skipped: dict[str, str] = {}
    times: dict[str, datetime] = {}
    deep: dict[str, tuple[float, float]] = {}
    for name, path in named.items():
        try:
            with opened(path) as image:
                if moment := taken(name, image):
                    times[name] = moment
                if values := used_range(image):
                    deep[name] = values
        except UnreadablePhotoError as error:
            skipped[name] = error.reason
    refuse_many_unread(photos, skipped, len(named), UNREADABLE_REMEDY)
    folder = PhotoFolder(
        photos,
        paths={name: path for name, path in named.items() if name not in skipped},
        unreadable={name: named[name] for name in skipped},
        # reading a pipe would never end
        others={name: path for name, path in files.items() if name not in named and path.is_file()},
        folders=folders,
    )
    return Found(folder, skipped, times, deep)


def _small_ranges(deep: Mapping[str, tuple[float, float]]) -> str:
    narrow = {name: values for name, values in deep.items() if values[1] - values[0] <= SMALL_RANGE}
    if not narrow:
        return ""
    low, high = (
        round(65535 * edge(each)) for edge, each in zip((min, max), zip(*narrow.values(), strict=True), strict=True)
    )
    return (
        f"{len(narrow)} of {len(deep)} photos of 16 bits use a small part of their range (values {low} to {high} of 0 "
        f"to 65535): {first_few(list(narrow))}. They become almost a single colour. Scale all photos alike, so that "
        f"{low} becomes 0 and {high} becomes 65535, or save them with 8 bits."
    )
