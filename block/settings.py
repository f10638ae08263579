"""Every choice of a run in one frozen dataclass, whose checks speak in the flags a person typed."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

from block.errors import BlockError
from block.words import SIZES_PX, Cut, Loss
from esp32_deploy.arduino import rules
from esp32_deploy.words import COLOUR_CHANNELS, Decode, Task

# the seed's cut for classification, Edge Impulse's for detection
AUTO_CUTS: dict[Task, Cut] = {"classification": "block_5", "detection": "block_6_expand"}
# by cross-validation and on validation photos: see docs/experiments.md
AUTO_BATCH_SIZES: dict[Task, int] = {"classification": 32, "detection": 8}
# the fields of Settings that a classifier has no use for
DETECTION_CHOICES = ("attention", "decode", "loss")
# those of PhotoSettings that arrays have settled before
PREPARATION_CHOICES = ("size", "resize", "colour", "labels_from")
# the widths for which ImageNet weights are published
WIDTHS = (0.35, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class PhotoSettings:
    """How a folder of photos becomes arrays."""

    size: int = 96
    """Width and height of the network's input in pixels."""
    resize: str = "squash"
    """How a photo that is not square becomes square: squash, crop or fit."""
    colour: str = "rgb"
    """rgb or grayscale."""
    labels_from: str | None = None
    """Where labels come from: folder, name, voc or export; None looks for the only one that fits."""
    task: Task | None = None
    """Classification or detection; None is classification wherever each photo has one class."""

    def __post_init__(self) -> None:
        if self.size not in SIZES_PX:
            raise BlockError(
                f"--size {self.size}: choose {SIZES_PX.start} to {SIZES_PX.stop - 1}, divisible by "
                f"{SIZES_PX.step}, such as 96 or 160."
            )

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 for grayscale, 3 for RGB."""
        return COLOUR_CHANNELS[self.colour]


@dataclass(frozen=True)
class Settings:
    """One training run."""

    data_directory: Path
    """A block directory, or a folder of photos."""
    out_directory: Path
    """Where everything goes; made if it is not there."""
    info_file: Path | None = None
    """Studio's train_input.json; None looks for it in the data directory."""
    epochs: int = 60
    """Passes over the training images."""
    learning_rate: float = 0.006
    """Peak of the learning-rate schedule."""
    batch_size: int | None = None
    """Images per training step; None is what suits the task: 32 for classification, 8 for detection."""
    width: float = 0.35
    """MobileNetV2's width multiplier."""
    cut: Cut | Literal["auto"] = "auto"
    """Where the backbone ends; auto is block_5 for classification, block_6_expand for detection."""
    seed: int = 1
    """Seeds every random choice."""
    augment: bool = True
    """Vary place, size, side and colours of the training images."""
    mirror: bool = True
    """Mirror some of the images that are varied."""
    pretrained: bool = True
    """Start from ImageNet weights where they are to be had."""
    attention: bool = False
    """Detection: let each cell of the grid see the others."""
    decode: Decode = "peaks"
    """Detection: learn and find objects as peaks of the grid, or as groups of touching cells."""
    loss: Loss = "softmax"
    """Detection: what training makes small."""
    library_name: str = "vision_model"
    """Name of the Arduino library."""
    photos: PhotoSettings = PhotoSettings()
    """How photos are prepared, when the data directory holds photos."""

    def __post_init__(self) -> None:
        _at_least("--epochs", self.epochs, 1)
        if self.batch_size is not None:
            _at_least("--batch-size", self.batch_size, 2)
        if not 0 < self.learning_rate <= 1:
            raise BlockError(
                f"--learning-rate {self.learning_rate:g}: choose more than 0 and at most 1; 0.006 suits most data."
            )
        if self.loss == "edge-impulse" and self.decode == "peaks":
            raise BlockError(
                "--loss edge-impulse makes every cell near an object sure of it, which peaks would count one by one: "
                "choose --decode fuse with it."
            )
        # now, and not when the library is made: that is after the training
        try:
            rules.check_name(self.library_name, "--library-name")
        except rules.LibraryError as error:
            raise BlockError(str(error)) from error

    def cut_for(self, task: Task) -> Cut:
        """Where the backbone of a task ends."""
        return AUTO_CUTS[task] if self.cut == "auto" else self.cut

    def batch_size_for(self, task: Task) -> int:
        """Images per training step of a task."""
        return AUTO_BATCH_SIZES[task] if self.batch_size is None else self.batch_size

    def as_dict(self) -> dict[str, Any]:
        """Plain values for settings.json; `from_dict` reads them back."""
        values = asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def from_dict(values: dict[str, Any]) -> Settings:
    """Settings from settings.json; values of later versions are left out."""
    known = {field.name: values[field.name] for field in fields(Settings) if field.name in values}
    for name in ("data_directory", "out_directory", "info_file"):
        known[name] = Path(known[name]) if known.get(name) else None
    photos = known.get("photos", {})
    known["photos"] = PhotoSettings(
        **{name: photos[name] for name in PhotoSettings.__dataclass_fields__ if name in photos}
    )
    return cast(Any, Settings)(**known)


def changed_flags(choices: Settings | PhotoSettings, names: Iterable[str]) -> list[str]:
    """The flags of those fields that differ from their default, which a person must have asked for."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(choices, name) != getattr(type(choices), name)]


def _at_least(flag: str, value: int, least: int) -> None:
    if value < least:
        raise BlockError(f"{flag} {value}: choose {least} or more.")
