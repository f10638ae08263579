"""How photos became the arrays of a block directory, as photos.json says it beside their names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from block.errors import BlockError


@dataclass(frozen=True)
class Preparation:
    """The choices that a folder of photos was prepared with, and what was left out."""

    size: int
    """Height and width of the images in px."""
    resize: str
    """How photos became square: squash, crop or fit."""
    channels: int
    labels_from: str
    """Where labels come from: folder, name, voc or export."""
    split_from: str
    """A phrase that says where the splits come from."""
    seed: int
    skipped: Mapping[str, str] = field(default_factory=dict)
    """The reason why a photo was left out, by its name."""
    dropped_boxes: Mapping[str, int] = field(default_factory=dict)
    """A detector's boxes that have too little of their object in the image, by photo."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for photos.json; `preparation_from` reads them back."""
        return asdict(self)


def preparation_from(path: Path, values: Mapping[str, Any]) -> Preparation:
    """The preparation that photos.json at `path` holds; raises BlockError when fields are missing or unknown."""
    names = {one.name for one in fields(Preparation)}
    if set(values) != names:
        raise BlockError(
            f'"preparation" in {path} is not as this version writes it: another version prepared these photos, or the '
            "file was edited. Prepare the photos again."
        )
    return Preparation(**values)
