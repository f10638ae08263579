"""The commands of `python -m esp32_deploy`: package makes a library, inspect shows its costs, verify its exactness."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from esp32_deploy import manifest, meaning, words
from esp32_deploy import photos as photo_files
from esp32_deploy.arduino import library, recording
from esp32_deploy.arduino.boards import BOARDS
from esp32_deploy.compile import graph as graphs
from esp32_deploy.compile.compiler import compile_file, compile_graph
from esp32_deploy.compile.ends import check_ends
from esp32_deploy.compile.graph import Graph, StreamError
from esp32_deploy.errors import DeployError, unexpected
from esp32_deploy.pixels import RESIZE_MODES
from esp32_deploy.verify import inspection, patterns, simulate, tflm
from esp32_deploy.verify.tflm import TflmError

MODEL = click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
DEBUG_KEY = "esp32_deploy.debug"
# The namespace of a model that is compiled only to run on this machine.
NAME = "model_under_test"


class Commands(click.Group):
    """Turns errors into one line and exit code 1; unexpected errors are marked as such. --debug keeps tracebacks."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if context.meta.get(DEBUG_KEY):
                raise
            is_foreseen = isinstance(error, DeployError | OSError)
            raise click.ClickException(str(error) if is_foreseen else unexpected(error)) from error


def _note_debug(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    # A command's context shares `meta` with its group's context.
    context.meta[DEBUG_KEY] = is_wanted


DEBUG = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_note_debug, help="Show tracebacks of errors."
)


@click.group(cls=Commands)
def main() -> None:
    """Compile int8 TensorFlow Lite models into C++ that streams rows, and make Arduino libraries from them."""


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@main.command("package")
@MODEL
@click.option("--name", help="Name of the library.  [default: from the manifest]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The zip to write.  [default: NAME.zip]")
@click.option(
    "--runtime",
    type=click.Choice(library.RUNTIMES),
    help="stream: generated C++ that needs little RAM. tflm: the interpreter of the esp32 core 3 or newer.  "
    "[default: stream, or tflm for a model that cannot be streamed]",
)
@click.option(
    "--board",
    type=click.Choice(list(BOARDS)),
    default=library.DEFAULT_BOARD,
    show_default=True,
    help="The board whose camera pins the Camera sketch uses at first.",
)
@click.option(
    "--manifest",
    "manifest_path",
    type=FILE,
    help="The deploy.json that training wrote.  [default: deploy.json beside MODEL]",
)
@click.option(
    "--labels", help='Classes in the order of the outputs, such as "apple,banana".  [default: from the manifest]'
)
@click.option(
    "--threshold",
    type=float,
    help='Confidence threshold: below it the answer is "not sure", or there is no object.  '
    "[default: from the manifest]",
)
@click.option(
    "--resize",
    type=click.Choice(RESIZE_MODES),
    help="How frames are made square.  [default: from the manifest, else crop]",
)
@click.option(
    "--decode",
    type=click.Choice(words.DECODES),
    help="How a grid becomes objects. Use the mode of the training.  [default: from the manifest, else fuse]",
)
@click.option("--samples", type=FILE, help="Images (.npy) for the self-test.  [default: seeded patterns]")
@DEBUG
def package_command(
    model: Path,
    name: str | None,
    out: Path | None,
    runtime: library.Runtime | None,
    board: str,
    manifest_path: Path | None,
    labels: str | None,
    samples: Path | None,
    **overrides: Any,
) -> None:
    """Make an Arduino library from MODEL.

    Options override the manifest. All other facts are read from the model.

    Example: python -m esp32_deploy package model_quantized_int8_io.tflite --name fruit_spotter
    """
    known = manifest.beside(model) if manifest_path is None else manifest.read(manifest_path)
    overrides |= {"name": name, "labels": None if labels is None else tuple(map(str.strip, labels.split(",")))}
    known = replace(known, **{key: value for key, value in overrides.items() if value is not None})
    target = out or Path(f"{known.name or library.DEFAULT_NAME}.zip")
    images = None if samples is None else recording.read_samples(samples)
    made = library.package(model, target, known, runtime=runtime, board=board, samples=images)
    click.echo(f"Wrote {made.path}: {made.files} files, {made.zip_bytes:,} bytes.")
    if made.refusal:
        click.echo(f"The library uses TensorFlow Lite Micro's interpreter. {made.refusal}")
    click.echo(
        f"The board needs {made.ram_bytes:,} bytes of RAM, and {made.frame_bytes:,} for the Camera sketch's frame."
    )
    click.echo(
        f"Next in the Arduino IDE: Sketch > Include Library > Add .ZIP Library, then Examples > {made.name} > SelfTest."
    )


@main.command()
@MODEL
@JSON
@DEBUG
def inspect(model: Path, as_json: bool) -> None:
    """Show a model layer by layer: shapes, MACs, weights, rows kept, RAM.

    A model that cannot be streamed is shown operator by operator, with the reason.

    Example: python -m esp32_deploy inspect model_quantized_int8_io.tflite
    """
    graph = graphs.read(model)
    check_ends(graph)
    arena_bytes = _arena_bytes(model, graph)
    try:
        report = inspection.report(compile_graph(graph, NAME), arena_bytes)
    except StreamError as error:
        report = inspection.unstreamed_report(graph, arena_bytes, str(error))
    click.echo(json.dumps(report) if as_json else inspection.table(report))


@main.command()
@MODEL
@click.option(
    "--inputs", type=click.IntRange(min=1), default=20, show_default=True, help="Number of test patterns to run."
)
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Also run photos of this folder, at most as many as --inputs.  [default: none]",
)
@click.option(
    "--target",
    type=click.Choice(sorted(simulate.TARGETS)),
    default="host",
    show_default=True,
    help="The processor that runs the compiled model.",
)
@JSON
@DEBUG
def verify(model: Path, inputs: int, photos: Path | None, target: str, as_json: bool) -> None:
    """Run the compiled model and TensorFlow Lite Micro on the same inputs and compare every byte.

    A target needs a compiler, and rv32 and xtensa an emulator. If one is missing, the message names the packages.

    Example: python -m esp32_deploy verify model_quantized_int8_io.tflite --target rv32
    """
    simulate.check_tools(simulate.TARGETS[target])
    compiled = compile_file(model, NAME)
    images = patterns.patterns(compiled.input_shape, inputs)
    if photos is not None:
        images = np.concatenate([images, photo_files.model_inputs(photos, compiled.input_shape, inputs)])
    result = simulate.verify(compiled, images, tflm.outputs(model, images), simulate.TARGETS[target])
    click.echo(json.dumps(result.as_dict()) if as_json else _lines(result.as_dict()))
    if result.first_difference is not None:
        raise click.ClickException(
            f"The outputs of input {result.first_difference} differ. They must be identical. Please report the model."
        )


def _arena_bytes(model: Path, graph: Graph) -> int | None:
    """Bytes of TensorFlow Lite Micro's arena, or None if it does not run the model."""
    try:
        return tflm.arena_bytes(model, meaning.image_shape(graph.inputs[0]))
    except TflmError:
        return None


def _lines(result: dict[str, Any]) -> str:
    """The result as aligned lines. Values that were not measured are left out."""
    return "\n".join(
        f"{key.replace('_', ' '):17} {value:,}" if isinstance(value, int) else f"{key.replace('_', ' '):17} {value}"
        for key, value in result.items()
        if value is not None
    )


if __name__ == "__main__":
    main()
