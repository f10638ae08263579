"""Warns of photos in different splits that perhaps show one scene: taken within a second, or of one name."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

from PIL import Image

from block.photos.names import has_date, stem, without_number
from block.photos.versions import groups
from block.words import SPLIT_WORDS, SPLITS

EXIF_FOLDER, EXIF_TAKEN = 0x8769, 0x9003  # DateTimeOriginal
# Other readers decode the whole photo to find its EXIF data.
EXIF_FORMATS = frozenset(("JPEG", "MPO", "TIFF", "HEIF"))
TIME_IN_NAME = re.compile(r"((?:19|20)\d\d)-?(\d\d)-?(\d\d)[-_T ](\d\d)[-.h]?(\d\d)[-.m]?(\d\d)")
# EXIF times are whole seconds. Cameras take the shots of a burst faster than one a second.
LONGEST_GAP_SECONDS = 1


def taken(name: str, image: Image.Image) -> datetime | None:
    """When an opened photo was taken, by its EXIF data or its name; None if neither says so."""
    try:
        noted = image.getexif().get_ifd(EXIF_FOLDER).get(EXIF_TAKEN) if image.format in EXIF_FORMATS else None
        return datetime.strptime(str(noted), "%Y:%m:%d %H:%M:%S")
    except Exception:  # broken EXIF data can raise almost anything
        pass
    found = TIME_IN_NAME.search(name.rpartition("/")[2])
    try:
        return datetime(*map(int, found.groups())) if found else None  # type: ignore[arg-type]
    except ValueError:
        return None


def burst_warnings(times: Mapping[str, datetime], split_of: Mapping[str, str]) -> Iterator[str]:
    """Warnings about photos of one folder that a split parts though they were taken in succession."""
    folders: dict[str, list[str]] = {}
    for name in sorted(times, key=lambda name: (times[name], name)):
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    apart = [
        tuple(sorted((earlier, later), key=lambda name: SPLITS.index(split_of[name])))
        for names in folders.values()
        for earlier, later in pairwise(names)
        if split_of[earlier] != split_of[later]
        and (times[later] - times[earlier]).total_seconds() <= LONGEST_GAP_SECONDS
    ]
    if apart:
        one, other = apart[0]
        yield (
            f"{len(apart)} photos were taken within {LONGEST_GAP_SECONDS} second of a photo in another split, such as "
            f"{other} ({SPLIT_WORDS[split_of[other]]}) and {one} ({SPLIT_WORDS[split_of[one]]}). If they show the same "
            "scene, the figures are too good. Then sort the photos into folders train/, val/ and test/, each scene "
            "into one."
        )


def series_warnings(split_of: Mapping[str, str], classes_on: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Warnings about photos that a split parts though their names differ only by the last of several numbers.

    apple/7_1.jpg and apple/7_2.jpg are perhaps versions of photo 7. apple.jpg and apple.png are perhaps one photo.
    But if most photos of a folder begin alike, as n02088364_1.jpg and n02088364_2.jpg, they are only numbered.
    """
    in_folder = Counter(name.rpartition("/")[0] for name in split_of)
    series: dict[str, list[str]] = {}
    marked = {name for group in groups(split_of) if len(group.frames) > 1 for name in group.frames}
    for name in split_of:
        folder, _, file_name = name.rpartition("/")
        text = stem(file_name)
        shorter = without_number(text)
        if name in marked or has_date(text):
            continue
        series.setdefault(f"{folder}/{text}", []).append(name)
        if shorter[-1:].isdigit() and shorter not in classes_on[name]:
            series.setdefault(f"{folder}/{shorter}", []).append(name)
    apart = [
        names
        for names in series.values()
        if len({split_of[name] for name in names}) > 1 and 2 * len(names) <= in_folder[names[0].rpartition("/")[0]]
    ]
    if apart:
        first = apart[0]
        one = first[0]
        other = next(name for name in first if split_of[name] != split_of[one])
        yield (
            f"The photos of {len(apart)} names are in several sets, such as {one} ({SPLIT_WORDS[split_of[one]]}) and "
            f"{other} ({SPLIT_WORDS[split_of[other]]}). If they are versions of one photo or frames of one video, the "
            "figures are too good. Then sort the photos into folders train/, val/ and test/, all versions into one."
        )
