"""The types that all label formats return (classes or boxes of each photo), and the checks that they share."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from block.errors import BlockError
from block.photos.folder import EXAMPLES, PhotoFolder, first_few

Labels = dict[str, frozenset[str]]
"""The classes of each photo, by photo name. A photo has several classes if it has boxes of several classes."""
PhotoBoxes = list[tuple[str, np.ndarray]]
"""A photo's boxes: the class, and (4,) x, y, width, height in px."""
Unit = Literal["px", "px or shares", "shares"]
"""What the numbers of boxes are: px of the photo, or shares of its sides. "px or shares": within 0..1 they are shares.
"""
# At most this share of the photos is left out because they or their labels cannot be read.
UNREADABLE_PERCENT = 10


@dataclass(frozen=True)
class Drawing:
    """The boxes of one photo as its label file gives them. The photo may have been turned or resized since."""

    file: str
    """The label file, relative to the photo folder."""
    boxes: PhotoBoxes
    size: tuple[int, int] | None = None
    """Width and height of the photo on which the boxes were drawn, in px; None if the file does not give them."""


@dataclass(frozen=True)
class GivenSplits:
    """The splits that come with photos; empty if none do."""

    origin: str = ""
    """What gives them, as a phrase: the folders train/, test/."""
    of: Mapping[str, str] = field(default_factory=dict)
    """The split of each photo, by photo name. It may leave out photos."""


NO_SPLITS = GivenSplits()


@dataclass(frozen=True)
class Annotations:
    """What one label format says about the photos of a folder. All keys are photo names."""

    classes: Labels = field(default_factory=dict)
    """The classes of each photo about which the format says something. A photo with an empty set is background."""
    drawings: dict[str, Drawing] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    """The reasons why labels or boxes cannot be read. Such a photo has no drawing, and classes only if these are sure.
    """
    absent: tuple[str, ...] = ()
    """The photos that label files list but that do not exist, or the label files without a photo. Sorted."""
    needs_file: bool = False
    """True if a photo without a label file is not background, but has not been labelled."""
    has_own_files: bool = False
    """True if each photo has a label file of its own. Then `absent` are files."""
    unit: Unit = "px"
    splits: GivenSplits = NO_SPLITS
    """The splits that the format gives, beside those that folders give."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user about what was left out or assumed."""


def normalized(label: Any) -> str:
    """A label in Unicode form NFC without surrounding blanks; empty for None."""
    return "" if label is None else unicodedata.normalize("NFC", str(label).strip())


def box_numbers(place: Any, label: str, edges: Mapping[str, Any]) -> np.ndarray:
    """The numbers of a box, (4,) float. Raises BlockError that names `place` if a number or the label is missing."""
    try:
        numbers = np.array([float(edge) for edge in edges.values()])
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not label or not np.isfinite(numbers).all():
        raise BlockError(
            f"{place} has a box {label!r} with {', '.join(f'{name} {edge}' for name, edge in edges.items())}. "
            "A box needs a label and four numbers. Correct or remove the box."
        )
    return numbers


def without_doubles(drawings: Mapping[str, Drawing]) -> tuple[dict[str, Drawing], tuple[str, ...]]:
    """The drawings without boxes that repeat the class and the numbers of another box, and a warning about them."""
    kept: dict[str, Drawing] = {}
    doubled: list[str] = []
    count = 0
    for name, drawing in drawings.items():
        boxes = {(label, tuple(edges.tolist())): (label, edges) for label, edges in drawing.boxes}
        kept[name] = drawing
        if left := len(drawing.boxes) - len(boxes):
            kept[name] = replace(drawing, boxes=list(boxes.values()))
            doubled.append(name)
            count += left
    if not doubled:
        return kept, ()
    return kept, (
        f"{count} boxes repeat another box of their photo, and are left out ({len(doubled)} photos): "
        f"{first_few(doubled)}.",
    )


def refuse_many_unread(root: Path, unread: Mapping[str, str], total: int, remedy: str, part: str = "") -> None:
    """Raises BlockError if more than UNREADABLE_PERCENT of `total` photos are unread. It names the first with reasons.

    `part` is what cannot be read if it is not the photos: "The labels of ". `remedy` is the last sentence.
    """
    if len(unread) * 100 > total * UNREADABLE_PERCENT:
        first = "; ".join(f"{name}: {reason}" for name, reason in sorted(unread.items())[:EXAMPLES])
        raise BlockError(
            f"{part}{len(unread)} of {total} photos in {root} cannot be read ({first}). At most {UNREADABLE_PERCENT} % "
            f"may be unreadable. {remedy}"
        )


def refuse_many_unread_labels(folder: PhotoFolder, unread: Mapping[str, str]) -> None:
    """Raises BlockError if the labels or boxes of too many photos cannot be read."""
    remedy = "Correct these label files, or remove the photos."
    refuse_many_unread(folder.root, unread, len(folder.paths), remedy, "The labels of ")
