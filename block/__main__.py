"""The other commands of the block: python -m block demo · prepare · convert · predict · report · weights · studio."""

import shlex
from pathlib import Path
from typing import Any

import click

from block import console, options
from block.console import friendly_errors, say
from block.settings import WIDTHS, PhotoSettings
from esp32_deploy.pixels import RESIZE_MODES
from esp32_deploy.words import TASKS, Task


@click.group(context_settings={"max_content_width": 110})
def block() -> None:
    """Tools for use before and after training. train.py does the training."""


@block.command()
@click.option("--out", type=options.PATH, required=True, help="Folder for the photos.")
@click.option(
    "--photos", type=click.IntRange(5), default=120, show_default=True, help="Number of training photos per class."
)
@click.option(
    "--test-photos", type=click.IntRange(1), default=30, show_default=True, help="Number of test photos per class."
)
@click.option(
    "--seed",
    type=options.SEED,
    default=1,
    show_default=True,
    help="Seed of the drawings: another seed draws other photos.",
)
@options.debug_option
def demo(out: Path, photos: int, test_photos: int, seed: int, debug: bool) -> None:
    """Draw a demo data set: photos of apples, bananas and oranges, with labels and boxes.

    Example: python -m block demo --out demo/photos
    """
    with friendly_errors(debug):
        from block.data import contract
        from block.demo.dataset import write_demo

        contract.make_folder(out)
        write_demo(out, photos, test_photos, seed, track=lambda jobs: console.track(jobs, "Drawing"))
        say(f"Drew {3 * (photos + test_photos)} photos of three kinds of fruit in {out}")
        folders = ("--data-directory", out, "--out-directory", out.parent / "out")
        say(f"Next: {console.command('train.py', '--labels-from', 'name', *folders)}")


@block.command()
@click.argument("photos", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, help="Folder for the arrays.")
@options.photo_options
@click.option(
    "--seed",
    type=options.SEED,
    default=1,
    show_default=True,
    help="Seed of the split into training and validation photos.",
)
@options.debug_option
def prepare(photos: Path, out: Path, seed: int, debug: bool, **values: Any) -> None:
    """Convert a folder of PHOTOS to the arrays that train.py and Studio use.

    Example: python -m block prepare photos --out arrays --size 96
    """
    with friendly_errors(debug):
        from block import learn
        from block.data import contract, reading
        from block.photos import prepare as photo_folders
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
    help="Arrays for calibration and scores.  [default: the arrays that the run was trained on]",
)
@options.debug_option
def convert(out: Path, data_directory: Path | None, debug: bool) -> None:
    """Export and score the network in OUT again, from weights.pt and settings.json.

    Example: python -m block convert out
    """
    with friendly_errors(debug):
        from block import learn

        learn.convert(out, data_directory, debug)


@block.command()
@click.argument("model", type=options.PATH)
@click.argument("photos", type=options.PATH, nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=options.PATH, required=True, help="Folder for the pictures: one PNG per photo.")
@click.option(
    "--threshold",
    type=float,
    default=None,
    help='Confidence threshold. Below it a classifier answers "not sure" and a detector reports no object.  '
    "[default: the threshold in deploy.json beside MODEL]",
)
@click.option(
    "--resize",
    type=click.Choice(RESIZE_MODES),
    default=None,
    help="How photos become square.  [default: as in deploy.json, or crop]",
)
@options.debug_option
def predict(
    model: Path, photos: tuple[Path, ...], out: Path, threshold: float | None, resize: str | None, debug: bool
) -> None:
    """Draw the answers of the int8 MODEL on photos, computed as on the board.

    PHOTO is a photo or a folder. Class names and thresholds come from deploy.json or labels.txt beside MODEL.

    Example: python -m block predict out/model_quantized_int8_io.tflite photos --out seen
    """
    with friendly_errors(debug):
        from block.data import contract
        from block.report import predict as predicting

        pictures = predicting.choose_pictures(predicting.find_photos(photos, out), out)
        with console.foreign_output_hidden(debug):
            board_model = predicting.load(model, resize, threshold)
        contract.make_folder(out)
        unreadable: list[str] = []
        for path, text in predicting.draw_pictures(board_model, pictures, unreadable.append):
            renamed = f" ({pictures[path].name})" if pictures[path].stem != path.stem else ""
            say(f"{path}: {text}{renamed}")
        for reason in unreadable:
            console.warn(reason)
        say(f"Pictures of {len(pictures) - len(unreadable)} photos are in {out}")


@block.command()
@click.argument("out", type=options.PATH)
@click.option(
    "--data-directory",
    type=options.PATH,
    default=None,
    help="Data that the run was trained on, to show its photos.  [default: a report without photos]",
)
@options.debug_option
def report(out: Path, data_directory: Path | None, debug: bool) -> None:
    """Write report.html in OUT again, from the results in that folder.

    Example: python -m block report out --data-directory photos
    """
    with friendly_errors(debug):
        from block.data import contract
        from block.data.claim import claimed
        from block.report import page

        outputs = contract.Outputs(out)
        metrics = page.read_metrics(outputs)
        with claimed(out), console.heartbeat("Report"), console.foreign_output_hidden(debug):
            data = page.read_data(outputs, metrics, data_directory) if data_directory else None
            page.write(outputs, data)
        say(f"Wrote {outputs.report} ({console.size_text(outputs.report.stat().st_size)})")


@block.command()
@click.option(
    "--width",
    type=click.Choice([str(width) for width in WIDTHS]),
    multiple=True,
    default=["0.35"],
    show_default=True,
    help="Width multiplier of MobileNetV2. You can give this option several times.",
)
@click.option(
    "--out",
    type=options.PATH,
    default=None,
    help="Folder for the weights.  [default: $BLOCK_WEIGHTS, or the project's folder weights/]",
)
@options.debug_option
def weights(width: tuple[str, ...], out: Path | None, debug: bool) -> None:
    """Download the ImageNet weights published by Keras and convert them.

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


@block.command()
@click.option("--task", type=click.Choice(TASKS), required=True, help="What the block learns in Studio.")
@click.option(
    "--out", type=options.PATH, required=True, help="Folder for the block: empty, or written by this command before."
)
@options.debug_option
def studio(task: Task, out: Path, debug: bool) -> None:
    """Make a folder with the block for Studio, which edge-impulse-blocks pushes.

    Example: python -m block studio --task detection --out ../detection-block
    """
    with friendly_errors(debug):
        from block.studio import write_folder

        written = write_folder(out, task)
        if not written.weights:
            widths = [part for width in WIDTHS for part in ("--width", width)]
            console.warn(
                "No ImageNet weights lie in weights/. Studio downloads them when it builds the block. If it cannot, "
                "the block trains from a random start."
            )
            say(f"To download them: {console.command('-m', 'block', 'weights', *widths)}, then run this again")
        say(f"Wrote {written.files} files ({console.size_text(written.size_bytes)}) to {out}")
        first = "" if written.has_config else "edge-impulse-blocks init && "
        say(f"Next: cd {shlex.quote(str(out))} && {first}edge-impulse-blocks push")


if __name__ == "__main__":
    block(prog_name="python -m block")
