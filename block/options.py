"""The click options that fill the settings, in groups: the contract's, Studio's parameters, detection's, photos."""

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
    # Studio passes a boolean as 1 or 0, never as a bare flag
    default = DEFAULTS[flag.removeprefix("--").replace("-", "_")]
    return click.option(
        flag, type=click.BOOL, default=default, metavar="1|0", help=f"{help}  [default: {1 if default else 0}]"
    )


contract_options = _group(
    click.option(
        "--data-directory",
        type=PATH,
        required=True,
        help="Studio's arrays (X_split_train.npy and the others), or a folder of photos.",
    ),
    click.option(
        "--out-directory",
        type=PATH,
        required=True,
        help="Where the models and everything else go; made if it is not there.",
    ),
    click.option(
        "--info-file",
        "--input-file",
        type=PATH,
        default=None,
        help="Studio's train_input.json.  [default: the one in the data directory, if any]",
    ),
)

studio_options = _group(
    click.option(
        "--epochs", type=int, default=DEFAULTS["epochs"], show_default=True, help="Passes over the training images."
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=DEFAULTS["learning_rate"],
        show_default=True,
        help="Peak of the learning-rate schedule.",
    ),
    click.option(
        "--width",
        type=click.Choice([str(width) for width in WIDTHS]),
        default=str(DEFAULTS["width"]),
        show_default=True,
        callback=lambda _context, _option, value: float(value),
        help="Width of MobileNetV2: wider is better and slower, and needs more memory.",
    ),
    _switch("--augment", "Vary place, size, side and colours of the training images (1) or not (0)."),
    _switch("--mirror", "Of these, mirror some: not (0) where left and right differ, as in letters, arrows, hands."),
    _switch("--pretrained", "Start from ImageNet weights (1) or from random ones (0)."),
    click.option(
        "--library-name",
        type=str,
        default=DEFAULTS["library_name"],
        show_default=True,
        help="Name of the Arduino library: letters, digits, underscores.",
    ),
    click.option(
        "--batch-size",
        type=int,
        default=DEFAULTS["batch_size"],
        help="Images per training step.  [default: 32 for classification, 8 for detection]",
    ),
    click.option(
        "--cut",
        type=click.Choice(["auto", *CUTS]),
        default=DEFAULTS["cut"],
        show_default=True,
        help="Where MobileNetV2 ends: auto is block_5 for classification, block_6_expand for detection.",
    ),
    click.option(
        "--seed",
        type=SEED,
        default=DEFAULTS["seed"],
        show_default=True,
        help="Seed of every random choice: the same seed gives the same files.",
    ),
)

detection_options = _group(
    _switch("--attention", "Detection: let each cell of the grid see the others (1) or not (0)."),
    click.option(
        "--decode",
        type=click.Choice(DECODES),
        default=DEFAULTS["decode"],
        show_default=True,
        help="Detection: learn and find objects as peaks of the grid, which tell neighbours apart, or as groups of "
        "touching cells, which is how Studio finds them.",
    ),
    click.option(
        "--loss",
        type=click.Choice(LOSSES),
        default=DEFAULTS["loss"],
        show_default=True,
        help="Detection: what training makes small; edge-impulse is the loss of its FOMO, for --decode fuse.",
    ),
)

photo_options = _group(
    click.option(
        "--task",
        type=click.Choice(TASKS),
        default=None,
        help="Photos: learn what is on a photo, or where.  [default: classification, if each photo has one class]",
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
        help="Photos: squash to a square, crop to one, or fit inside one with black bars.",
    ),
    click.option(
        "--colour",
        "--color",
        type=click.Choice(list(COLOUR_CHANNELS)),
        default=PhotoSettings.colour,
        show_default=True,
        help="Photos: colours the network sees.",
    ),
    click.option(
        "--labels-from",
        type=click.Choice(LABEL_SOURCES),
        default=None,
        help="Photos: where labels come from.  [default: the only source that fits]",
    ),
)

debug_option = click.option("--debug", is_flag=True, help="Show tracebacks and what the libraries print.")


def settings_from(options: dict[str, Any]) -> Settings:
    """Settings from the values of all groups, whose names they share."""
    photos = PhotoSettings(**{name: options.pop(name) for name in PhotoSettings.__dataclass_fields__})
    return Settings(**options, photos=photos)


def unknown_arguments(context: click.Context) -> list[str]:
    """What was typed beyond the known options, each with the option it may have been meant to be."""
    known = [flag for parameter in context.command.params for flag in parameter.opts]
    return [_with_suggestion(argument, known) for argument in context.args]


def _with_suggestion(argument: str, known: Sequence[str]) -> str:
    if not argument.startswith("--"):
        return argument
    close = difflib.get_close_matches(argument.split("=")[0], known, n=1, cutoff=0.75)
    return f"{argument} (did you mean {close[0]}?)" if close else argument
