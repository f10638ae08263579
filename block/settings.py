"""The settings of a run as a frozen dataclass. Error messages name the command-line flags."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

from block.errors import BlockError
from block.words import SIZES_PX, Cut, Loss
from esp32_deploy.arduino import rules
from esp32_deploy.words import COLOUR_CHANNELS, Decode, Task

# block_6_expand is the cut of Edge Impulse's FOMO
AUTO_CUTS: dict[Task, Cut] = {"classification": "block_5", "detection": "block_6_expand"}
# chosen by cross-validation and on validation photos: see docs/experiments.md
AUTO_BATCH_SIZES: dict[Task, int] = {"classification": 32, "detection": 8}
# the fields of Settings that have no effect on classification
DETECTION_CHOICES = ("attention", "decode", "loss")
# the fields of PhotoSettings that have no effect if the data are arrays
PREPARATION_CHOICES = ("size", "resize", "colour", "labels_from")
# the widths for which ImageNet weights are published
WIDTHS = (0.35, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class PhotoSettings:
    """How a folder of photos is converted to arrays."""

    size: int = 96
    """Width and height of the network's input in pixels."""
    resize: str = "squash"
    """How a photo becomes square: squash, crop or fit."""
    colour: str = "rgb"
    """rgb or grayscale."""
    labels_from: str | None = None
    """Source of the labels: folder, name, voc or export. None finds the only source that fits."""
    task: Task | None = None
    """classification or detection. None means classification if each photo has one class."""

    def __post_init__(self) -> None:
        if self.size not in SIZES_PX:
            raise BlockError(
                f"--size {self.size}: choose a size from {SIZES_PX.start} to {SIZES_PX.stop - 1} that is divisible by "
                f"{SIZES_PX.step}, such as 96 or 160."
            )

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 for grayscale, 3 for RGB."""
        return COLOUR_CHANNELS[self.colour]


@dataclass(frozen=True)
class Settings:
    """The settings of one training run."""

    data_directory: Path
    """A block directory (arrays) or a folder of photos."""
    out_directory: Path
    """Folder for all results. It is created if it does not exist."""
    info_file: Path | None = None
    """Studio's train_input.json. None means the file in the data directory, if there is one."""
    epochs: int = 60
    """Number of passes over the training images."""
    learning_rate: float = 0.006
    """Highest learning rate of the schedule."""
    batch_size: int | None = None
    """Images per training step. None means 32 for classification and 8 for detection."""
    width: float = 0.35
    """MobileNetV2's width multiplier."""
    cut: Cut | Literal["auto"] = "auto"
    """Last layer of the backbone. auto means block_5 for classification and block_6_expand for detection."""
    seed: int = 1
    """Seed of all random numbers."""
    augment: bool = True
    """Data augmentation: shift, turn, zoom, mirror and recolour the training images at random."""
    mirror: bool = True
    """Let the augmentation mirror images."""
    pretrained: bool = True
    """Start from ImageNet weights if they are available."""
    attention: bool = False
    """Detection: add self-attention, so that each grid cell sees all other cells."""
    decode: Decode = "peaks"
    """Detection: how the grid becomes objects: each local peak is one (peaks), or touching cells become one (fuse)."""
    loss: Loss = "softmax"
    """Detection: the loss function."""
    library_name: str = "vision_model"
    """Name of the Arduino library."""
    photos: PhotoSettings = PhotoSettings()
    """How photos are converted to arrays, if the data directory holds photos."""

    def __post_init__(self) -> None:
        _at_least("--epochs", self.epochs, 1)
        if self.batch_size is not None:
            _at_least("--batch-size", self.batch_size, 2)
        if not 0 < self.learning_rate <= 1:
            raise BlockError(
                f"--learning-rate {self.learning_rate:g}: choose a value above 0 and up to 1. 0.006 suits most data."
            )
        if self.loss == "edge-impulse" and self.decode == "peaks":
            raise BlockError(
                "--loss edge-impulse does not fit --decode peaks: it trains several cells per object to a high "
                "probability, and peaks would count each of them. Choose --decode fuse with it."
            )
        # Check the name now: the library is made only after training.
        try:
            rules.check_name(self.library_name, "--library-name")
        except rules.LibraryError as error:
            raise BlockError(str(error)) from error

    def cut_for(self, task: Task) -> Cut:
        """Last layer of the backbone for a task."""
        return AUTO_CUTS[task] if self.cut == "auto" else self.cut

    def batch_size_for(self, task: Task) -> int:
        """Images per training step for a task."""
        return AUTO_BATCH_SIZES[task] if self.batch_size is None else self.batch_size

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON values for settings.json. `from_dict` reads them."""
        values = asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def from_dict(values: dict[str, Any]) -> Settings:
    """Settings from the values of settings.json. Unknown names, such as those of later versions, are ignored."""
    known = {field.name: values[field.name] for field in fields(Settings) if field.name in values}
    for name in ("data_directory", "out_directory", "info_file"):
        known[name] = Path(known[name]) if known.get(name) else None
    photos = known.get("photos", {})
    known["photos"] = PhotoSettings(
        **{name: photos[name] for name in PhotoSettings.__dataclass_fields__ if name in photos}
    )
    return cast(Any, Settings)(**known)


def changed_flags(choices: Settings | PhotoSettings, names: Iterable[str]) -> list[str]:
    """The flags of those fields in `names` whose value is not the default."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(choices, name) != getattr(type(choices), name)]


def _at_least(flag: str, value: int, least: int) -> None:
    if value < least:
        raise BlockError(f"{flag} {value}: choose {least} or more.")
