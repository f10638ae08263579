"""Converts drawn boxes to px of the upright photos, whatever frame they were drawn in.

Some tools show a photo as it is stored and others turn it upright by its EXIF orientation. Where the size in the label
file or the place of the boxes tells which, the photo decides for those of the set that do not tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from block.data.boxes import LEAST_VISIBLE_SHARE, SIDEWAYS, are_shares, upright_edges
from block.errors import BlockError
from block.photos.folder import PhotoFolder
from block.photos.formats import Drawing, PhotoBoxes, Unit
from esp32_deploy.photos import UnreadablePhotoError, opened

EXIF_ORIENTATION = 0x0112
# A resized photo has whole sides. Rounding changes each side by up to this much.
ROUNDING_PX = 1
# The edge of a box can lie this much outside the photo without telling anything.
OUTSIDE_PX = 2

# Shares that were made of whole px become these px again, without the error of the division.
SHARE_DECIMALS = 6

# a warning names at most this many photos
MOST_NAMED = 20
SHARES_WARNING = "All boxes lie between 0 and 1. They are read as shares of the photo's width and height."

Frame = Literal["upright", "stored"]


@dataclass(frozen=True)
class PlacedBoxes:
    """The boxes of each photo in px of the upright photo, by photo name, and what could not be placed."""

    boxes: dict[str, PhotoBoxes]
    unread: dict[str, str]
    """The reasons why boxes cannot be placed, by photo name."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Photo:
    stored: tuple[int, int]
    """Width and height as stored, in px."""
    orientation: int
    """1 for a photo that is stored upright, else the EXIF value 2 to 8."""

    @property
    def upright(self) -> tuple[int, int]:
        return self.stored[::-1] if self.orientation >= SIDEWAYS else self.stored


def on_upright_photos(folder: PhotoFolder, drawings: Mapping[str, Drawing], unit: Unit) -> PlacedBoxes:
    """Converts the boxes of each photo to px of the upright photo.

    If they may be px or shares, boxes that all lie within 0..1 are read as shares of the photo's sides. If they can
    only be px, such boxes raise BlockError.
    """
    in_shares = unit == "shares" or _are_shares(folder, drawings, unit == "px or shares")
    photos = {name: _photo(folder.paths[name]) for name in drawings}
    told = {name: _told_frame(drawing, photos[name], in_shares) for name, drawing in drawings.items()}
    known = sorted({frame for frame in told.values() if frame})
    common = known[0] if len(known) == 1 else "upright"
    boxes: dict[str, PhotoBoxes] = {}
    unread: dict[str, str] = {}
    for name, drawing in drawings.items():
        try:
            boxes[name] = _placed(folder.paths[name], drawing, photos[name], told[name] or common, in_shares)
        except BlockError as error:
            unread[name] = str(error)
    warnings = [SHARES_WARNING] if in_shares and unit != "shares" else []
    turned = {name for name, photo in photos.items() if photo and photo.orientation > 1}
    untold = [name for name in boxes if boxes[name] and name in turned and not told[name]]
    if untold and len(known) != 1:
        warnings.append(_untold_warning(untold, "Other photos of the set tell both. " if known else ""))
    return PlacedBoxes(boxes, unread, tuple(warnings))


def _are_shares(folder: PhotoFolder, drawings: Mapping[str, Drawing], allowed: bool) -> bool:
    every = [edges for drawing in drawings.values() for _, edges in drawing.boxes]
    if not every or not are_shares(np.array(every)):
        return False
    if allowed:
        return True
    file = next(drawing.file for drawing in drawings.values() if drawing.boxes)
    raise BlockError(
        f"All boxes in {folder.root / file} lie between 0 and 1. They seem to be shares of the photo, but this format "
        "gives px. Multiply the numbers by the photo's width and height, or export the data again."
    )


def _photo(path: Path) -> _Photo | None:
    """The photo's size and orientation; None if it cannot be opened, in which case it is left out later."""
    try:
        with opened(path) as image:
            orientation, size = image.getexif().get(EXIF_ORIENTATION, 1), image.size
            # Pillow gives the upright size of a TIFF, and the stored size of all others
            turned = image.format == "TIFF"
    except UnreadablePhotoError:
        return None
    if orientation not in range(1, 9):
        orientation = 1
    return _Photo(size[::-1] if turned and orientation >= SIDEWAYS else size, orientation)


def _told_frame(drawing: Drawing, photo: _Photo | None, in_shares: bool) -> Frame | None:
    """The frame in which the boxes were drawn, if the size or the boxes fit only one; None if they do not tell."""
    if photo is None or photo.orientation == 1:
        return None
    frames: dict[Frame, tuple[int, int]] = {"upright": photo.upright, "stored": photo.stored}
    if drawing.size:
        fitting = [frame for frame, size in frames.items() if _same_proportions(drawing.size, size)]
    elif drawing.boxes and not in_shares:
        edges = np.array([edges for _, edges in drawing.boxes])
        stop = (edges[:, :2] + edges[:, 2:]).max(axis=0) - OUTSIDE_PX
        fitting = [frame for frame, size in frames.items() if (stop <= size).all()]
    else:
        return None
    return fitting[0] if len(fitting) == 1 else None


def _placed(path: Path, drawing: Drawing, photo: _Photo | None, frame: Frame, in_shares: bool) -> PhotoBoxes:
    """Boxes in px of the upright photo. Raises BlockError if they cannot have been drawn on this photo."""
    if photo is None or not drawing.boxes:
        return drawing.boxes
    edges = np.array([edges for _, edges in drawing.boxes])
    if not in_shares and are_shares(edges) and (edges % 1).any():
        raise BlockError(
            f"The boxes in {drawing.file} all lie between 0 and 1, but those of other photos are in px. Write these in "
            "px too, or remove them."
        )
    size = drawing.size or (photo.upright if frame == "upright" else photo.stored)
    if in_shares:
        edges = (edges * np.tile(size, 2)).round(SHARE_DECIMALS)
    if frame == "stored":
        edges = upright_edges(edges, size, photo.orientation)
        size = size[::-1] if photo.orientation >= SIDEWAYS else size
    if not _same_proportions(size, photo.upright):
        raise BlockError(
            f"The boxes in {drawing.file} were drawn on a photo of {size[0]} x {size[1]} px, but {path.name} has "
            f"{photo.upright[0]} x {photo.upright[1]} px. They would be in the wrong places. Restore the original "
            "photo, or draw the boxes again."
        )
    if size != photo.upright:
        edges = edges * np.tile(np.divide(photo.upright, size), 2)
    _refuse_outside(path, drawing.file, photo.upright, edges)
    return [(label, row) for (label, _), row in zip(drawing.boxes, edges, strict=True)]


def _refuse_outside(path: Path, file: str, size: Sequence[int], edges: np.ndarray) -> None:
    start, stop = edges[:, :2], edges[:, :2] + edges[:, 2:]
    areas = edges[:, 2:].clip(0).prod(axis=1)
    seen = (np.minimum(stop, size) - start.clip(0)).clip(0).prod(axis=1)
    if areas.any() and (seen < LEAST_VISIBLE_SHARE * areas)[areas > 0].all():
        raise BlockError(
            f"The boxes in {file} lie outside {path.name}, which has {size[0]} x {size[1]} px. Restore the original "
            "photo, or draw the boxes again."
        )


def _same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    # in proportion, rounding changes the smaller of the two sizes most
    return abs(one[0] * other[1] - one[1] * other[0]) <= ROUNDING_PX * max(*one, *other)


def _untold_warning(names: Sequence[str], why: str) -> str:
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {left} more" if (left := len(names) - MOST_NAMED) > 0 else "")
    return (
        f"{len(names)} photos are turned by their EXIF orientation, and nothing tells whether their boxes were drawn "
        f"on the photo as it is stored or on the upright one. {why}The upright photo is assumed. Check the boxes of "
        f"{listed}."
    )
