"""The record of a preparation in photos.json: how photos were converted to the arrays of a block directory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from block.errors import BlockError


@dataclass(frozen=True)
class Preparation:
    """The settings of a preparation, and the photos and boxes that were left out."""

    size: int
    """Height and width of the images in px."""
    resize: str
    """How photos were made square: squash, crop or fit."""
    channels: int
    labels_from: str
    """The source of the labels: folder, name, voc or export."""
    split_from: str
    """A phrase that states the origin of the splits."""
    seed: int
    skipped: Mapping[str, str] = field(default_factory=dict)
    """The photos that were left out because they or their labels could not be read, by name, with the reasons."""
    dropped_boxes: Mapping[str, int] = field(default_factory=dict)
    """The number of boxes left out, by photo name (detection only): under a pixel, or too little in the image."""

    warnings: tuple[str, ...] = ()
    """Sentences for the user about files, labels and splits that probably are not as they should be."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain values for photos.json. `preparation_from` reads them back."""
        return asdict(self)


def preparation_from(path: Path, values: dict[str, Any]) -> Preparation:
    """Makes a Preparation from `values`, its fields in photos.json at `path`.

    Raises BlockError if fields are missing or unknown.
    """
    names = {one.name for one in fields(Preparation)}
    if set(values) != names:
        raise BlockError(
            f'"preparation" in {path} has missing or unknown fields. Perhaps another version prepared these photos, or '
            "the file was edited. Prepare the photos again."
        )
    return Preparation(**(values | {"warnings": tuple(values["warnings"])}))
