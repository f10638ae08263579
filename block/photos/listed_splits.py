"""The splits that lists of photos give. A photo in several lists stays in the first: train, validation, then test."""

from collections.abc import Iterable, Mapping

from block.photos.folder import first_few
from block.photos.formats import GivenSplits
from block.words import SPLIT_WORDS, SPLITS


def splits_from_lists(origin: str, photos_of: Mapping[str, Iterable[str]]) -> tuple[GivenSplits, tuple[str, ...]]:
    """The split of each listed photo, and warnings about photos in several lists.

    `origin` is the phrase that names the lists. `photos_of` are the photo names of each split.
    """
    found: dict[str, str] = {}
    several: dict[tuple[str, str], list[str]] = {}
    for split in SPLITS:
        for name in dict.fromkeys(photos_of.get(split, ())):
            if found.setdefault(name, split) != split:
                several.setdefault((found[name], split), []).append(name)
    warnings = tuple(
        f"{origin} lists {len(names)} photos both for {SPLIT_WORDS[first]} and for {SPLIT_WORDS[other]}: "
        f"{first_few(names)}. They are used for {SPLIT_WORDS[first]} only, because figures on them would be too good."
        for (first, other), names in several.items()
    )
    return GivenSplits(origin if found else "", found), warnings
