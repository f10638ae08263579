"""The block's tools beside training: python -m block demo · prepare · convert · weights."""

from pathlib import Path
from typing import Any

import click

from block import console, options
from block.console import friendly_errors, say
from block.settings import WIDTHS, PhotoSettings


@click.group(context_settings={"max_content_width": 110})
def block() -> None:
    """Tools around the training block; train with train.py."""


@block.command()
@click.option("--out", type=options.PATH, required=True, help="Folder for the photos.")
@click.option("--photos", type=click.IntRange(5), default=120, show_default=True, help="Training photos of each kind.")
@click.option("--test-photos", type=click.IntRange(1), default=30, show_default=True, help="Test photos of each kind.")
@click.option("--seed", type=options.SEED, default=1, show_default=True, help="Another seed draws other photos.")
@options.debug_option
def demo(out: Path, photos: int, test_photos: int, seed: int, debug: bool) -> None:
    """Draw a data set of apples, bananas and oranges, with labels and boxes.

    Example: python -m block demo --out demo/photos
    """
    with friendly_errors(debug):
        from block.data import contract
        from block.data.demo import write_demo

        contract.make_folder(out)
        write_demo(out, photos, test_photos, seed, track=lambda jobs: console.track(jobs, "Drawing"))
        say(f"Drew {3 * (photos + test_photos)} photos of three kinds of fruit in {out}")
        say(f"Next: python train.py --labels-from name --data-directory {out} --out-directory {out.parent / 'out'}")


@block.command()
@click.argument("photos", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, help="Folder for the arrays.")
@options.photo_options
@click.option("--seed", type=options.SEED, default=1, show_default=True, help="Seed of the split.")
@options.debug_option
def prepare(photos: Path, out: Path, seed: int, debug: bool, **values: Any) -> None:
    """Turn a folder of PHOTOS into the arrays that train.py and Studio use.

    Example: python -m block prepare photos --out arrays --size 96
    """
    with friendly_errors(debug):
        from block import learn
        from block.data import contract, reading
        from block.data import photos as photo_folders
        from block.report import summary

        photo_folders.refuse_own_output(photos, out)
        contract.make_folder(out)
        learn.prepare(photos, out, PhotoSettings(**values), seed)
        summary.describe_data(reading.read(out))
        say(f"Next: {console.command('train.py', '--data-directory', out, '--out-directory', 'out')}")


@block.command()
@click.argument("out", type=options.PATH)
@click.option(
    "--data-directory",
    type=options.PATH,
    default=None,
    help="Arrays to calibrate and score with.  [default: those the run was trained on]",
)
@options.debug_option
def convert(out: Path, data_directory: Path | None, debug: bool) -> None:
    """Make the models and scores in OUT again from its weights.pt and settings.json.

    Example: python -m block convert out
    """
    with friendly_errors(debug):
        from block import learn

        learn.convert(out, data_directory, debug)


@block.command()
@click.option(
    "--width",
    type=click.Choice([str(width) for width in WIDTHS]),
    multiple=True,
    default=["0.35"],
    show_default=True,
    help="Width of MobileNetV2; may be given more than once.",
)
@click.option(
    "--out",
    type=options.PATH,
    default=None,
    help="Folder for the weights.  [default: $BLOCK_WEIGHTS, else the folder weights of the project]",
)
@options.debug_option
def weights(width: tuple[str, ...], out: Path | None, debug: bool) -> None:
    """Download ImageNet weights that Keras publishes and convert them.

    Example: python -m block weights --width 0.35 --width 1.0
    """
    with friendly_errors(debug):
        from block.data import contract
        from block.model import backbone

        folder = out or backbone.weights_folder()
        contract.make_folder(folder)
        for chosen in map(float, width):
            paths = backbone.paths(chosen, folder)
            if all(path.exists() for path in paths):
                say(f"Already in {folder}: {', '.join(path.name for path in paths)}")
                continue
            with console.foreign_output_hidden(debug):
                backbone.download(chosen, folder)
            say(f"Wrote to {folder}: {', '.join(path.name for path in paths)}")


if __name__ == "__main__":
    block(prog_name="python -m block")
