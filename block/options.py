"""The click options that fill Settings, in four groups: contract, Studio parameters, detection, photos."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from block.photos.labels import LABEL_SOURCES
from block.settings import WIDTHS, PhotoSettings, Settings
from block.words import CUTS, LOSSES
from esp32_deploy.pixels import RESIZE_MODES
from esp32_deploy.words import COLOUR_CHANNELS, DECODES, TASKS

Command = Callable[..., Any]
DEFAULTS = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
PATH = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**32 - 1)


def _group(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _switch(flag: str, help: str) -> Callable[[Command], Command]:
    # Studio passes a boolean as 1 or 0, not as a bare flag.
    default = DEFAULTS[flag.removeprefix("--").replace("-", "_")]
    return click.option(
        flag, type=click.BOOL, default=default, metavar="1|0", help=f"{help}  [default: {1 if default else 0}]"
    )


contract_options = _group(
    click.option(
        "--data-directory",
        type=PATH,
        required=True,
        help="Folder with Studio's arrays (X_split_train.npy and the others) or with photos.",
    ),
    click.option(
        "--out-directory",
        type=PATH,
        required=True,
        help="Folder for the models and all other results. It is created if it does not exist.",
    ),
    click.option(
        "--info-file",
        "--input-file",
        type=PATH,
        default=None,
        help="Studio's train_input.json.  [default: the file in the data directory, if there is one]",
    ),
)

studio_options = _group(
    click.option(
        "--epochs",
        type=int,
        default=DEFAULTS["epochs"],
        show_default=True,
        help="Number of epochs: passes over the training images.",
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=DEFAULTS["learning_rate"],
        show_default=True,
        help="Highest learning rate of the schedule.",
    ),
    click.option(
        "--width",
        type=click.Choice([str(width) for width in WIDTHS]),
        default=str(DEFAULTS["width"]),
        show_default=True,
        callback=lambda _context, _option, value: float(value),
        help="Width multiplier of MobileNetV2. A wider network is more accurate, slower and needs more memory.",
    ),
    _switch("--augment", "Data augmentation: shift, turn, zoom, mirror and recolour the training images at random."),
    _switch(
        "--mirror",
        "Let the augmentation mirror images. Choose 0 if left and right differ, as in letters, arrows or hands.",
    ),
    _switch("--pretrained", "Start from ImageNet weights (1) or from random weights (0)."),
    click.option(
        "--library-name",
        type=str,
        default=DEFAULTS["library_name"],
        show_default=True,
        help="Name of the Arduino library: letters, digits and underscores. It starts with a letter.",
    ),
    click.option(
        "--batch-size",
        type=int,
        default=DEFAULTS["batch_size"],
        help="Number of images per training step.  [default: 32 for classification, 8 for detection]",
    ),
    click.option(
        "--cut",
        type=click.Choice(["auto", *CUTS]),
        default=DEFAULTS["cut"],
        show_default=True,
        help="Last layer of MobileNetV2 that is used. auto: block_5 for classification, block_6_expand for detection.",
    ),
    click.option(
        "--seed",
        type=SEED,
        default=DEFAULTS["seed"],
        show_default=True,
        help="Seed of the random numbers. The same seed gives the same models.",
    ),
)

detection_options = _group(
    _switch("--attention", "Detection: add self-attention, so that each grid cell sees all other cells."),
    click.option(
        "--decode",
        type=click.Choice(DECODES),
        default=DEFAULTS["decode"],
        show_default=True,
        help="Detection: how the grid becomes objects, in training and on the board. peaks: each local peak is an "
        "object, so that touching objects can be told apart. fuse: touching cells become one object, as in Studio.",
    ),
    click.option(
        "--loss",
        type=click.Choice(LOSSES),
        default=DEFAULTS["loss"],
        show_default=True,
        help="Detection: the loss function. edge-impulse is the loss of Edge Impulse's FOMO; it needs --decode fuse.",
    ),
)

photo_options = _group(
    click.option(
        "--task",
        type=click.Choice(TASKS),
        default=None,
        help="Photos: classification learns what a photo shows, detection also learns where it is.  "
        "[default: classification if each photo has one class]",
    ),
    click.option(
        "--size",
        type=int,
        default=PhotoSettings.size,
        show_default=True,
        help="Photos: width and height of the network's input in pixels, 48 to 320, divisible by 8.",
    ),
    click.option(
        "--resize",
        type=click.Choice(RESIZE_MODES),
        default=PhotoSettings.resize,
        show_default=True,
        help="Photos: how a photo becomes square. squash: change its proportions; crop: cut the longer side; "
        "fit: add black bars.",
    ),
    click.option(
        "--colour",
        "--color",
        type=click.Choice(list(COLOUR_CHANNELS)),
        default=PhotoSettings.colour,
        show_default=True,
        help="Photos: colour channels of the network's input.",
    ),
    click.option(
        "--labels-from",
        type=click.Choice(LABEL_SOURCES),
        default=None,
        help="Photos: source of the labels.  [default: the only source that fits]",
    ),
)

debug_option = click.option("--debug", is_flag=True, help="Show tracebacks and the output of the libraries.")


def settings_from(options: dict[str, Any]) -> Settings:
    """Settings from the values of all option groups. Each option has the name of its field."""
    photos = PhotoSettings(**{name: options.pop(name) for name in PhotoSettings.__dataclass_fields__})
    return Settings(**options, photos=photos)


def unknown_arguments(context: click.Context) -> list[str]:
    """The arguments that are no options of this block, each with the most similar option if there is one."""
    known = [flag for parameter in context.command.params for flag in parameter.opts]
    return [_with_suggestion(argument, known) for argument in context.args]


def _with_suggestion(argument: str, known: Sequence[str]) -> str:
    if not argument.startswith("--"):
        return argument
    close = difflib.get_close_matches(argument.split("=")[0], known, n=1, cutoff=0.75)
    return f"{argument} (did you mean {close[0]}?)" if close else argument
