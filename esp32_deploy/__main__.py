"""`python -m esp32_deploy inspect MODEL` and `verify MODEL`: what a compiled model costs, and that it is exact."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from esp32_deploy import inspection, patterns, tflm, verification
from esp32_deploy.compiler import compile_file
from esp32_deploy.graph import GraphError
from esp32_deploy.simulate import TARGETS, SimulationError
from esp32_deploy.tflm import TflmError

MODEL = click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
# the namespace of what is compiled only to be run here
NAME = "model_under_test"


class Commands(click.Group):
    """Errors that a person can mend become one line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (GraphError, SimulationError, TflmError, ValueError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
def main() -> None:
    """Compiles int8 TensorFlow Lite models into C++ that streams rows."""


@main.command()
@MODEL
@JSON
def inspect(model: Path, as_json: bool) -> None:
    """Show a model layer by layer: shapes, MACs, weights, rows kept, RAM.

    Example: python -m esp32_deploy inspect model_quantized_int8_io.tflite
    """
    compiled = compile_file(model, NAME)
    report = inspection.report(compiled, tflm.arena_bytes(model, compiled.input_shape))
    click.echo(json.dumps(report) if as_json else inspection.table(report))


@main.command()
@MODEL
@click.option("--inputs", type=click.IntRange(min=1), default=20, show_default=True, help="How many patterns to run.")
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run as many photos of this folder too.  [default: none]",
)
@click.option("--target", type=click.Choice(sorted(TARGETS)), default="host", show_default=True, help="Where to run.")
@JSON
def verify(model: Path, inputs: int, photos: Path | None, target: str, as_json: bool) -> None:
    """Run the compiled model and TensorFlow Lite Micro on the same inputs and compare every byte.

    Example: python -m esp32_deploy verify model_quantized_int8_io.tflite --target rv32
    """
    compiled = compile_file(model, NAME)
    images = patterns.patterns(compiled.input_shape, inputs)
    if photos is not None:
        images = np.concatenate([images, patterns.photos(photos, compiled.input_shape, inputs)])
    result = verification.verify(compiled, model, images, TARGETS[target])
    click.echo(json.dumps(result.as_dict()) if as_json else _lines(result.as_dict()))
    if result.first_difference is not None:
        raise click.ClickException(
            f"Input {result.first_difference} differs; please report the model: outputs must be identical."
        )


def _lines(result: dict[str, Any]) -> str:
    """A result for a person; what was not measured is left out."""
    return "\n".join(
        f"{key.replace('_', ' '):17} {value:,}" if isinstance(value, int) else f"{key.replace('_', ' '):17} {value}"
        for key, value in result.items()
        if value is not None
    )


if __name__ == "__main__":
    main()
