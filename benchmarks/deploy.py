"""What compiled models cost on two emulated processors, and that every output equals TensorFlow Lite Micro's.

    python benchmarks/deploy.py [MODEL.tflite ...]

Runs 200 inputs (patterns, and photos where they lie beside the project) through each fixture and each model named.
Emulators count instructions exactly; they know no caches or flash. About a quarter of an hour for all fixtures.
"""

import sys
from pathlib import Path

import numpy as np
from block_runs import SHARED_DATA, table

from esp32_deploy import patterns, tflm
from esp32_deploy.compiler import Compiled, compile_file
from esp32_deploy.simulate import TARGETS
from esp32_deploy.verification import Verification, verify

INPUTS = 200
MOST_PHOTOS = 60
NAME = "measured_model"


def main() -> None:
    fixtures = sorted((SHARED_DATA / "models").glob("*.tflite"))
    models = [*fixtures, *map(Path, sys.argv[1:])]
    if not models:
        raise SystemExit("Name a .tflite: the fixtures are not beside the project.")
    results = {path: _measure(path) for path in models}
    header = ["model", "MACs M", "TFLM arena B", "RAM B", "largest piece B", "stack B"]
    header += ["identical host", "rv32", "lx106", "rv32 M", "lx106 M", "ratio", "flash rv32 B", "lx106 B"]
    table([header, *(_row(path, *result) for path, result in results.items())])
    print(f"\nrv32 instructions: {_fitted([(compiled, runs) for compiled, runs in results.values()])}")


def _measure(path: Path) -> tuple[Compiled, dict[str, Verification]]:
    compiled = compile_file(path, NAME)
    images = _images(compiled.input_shape)
    return compiled, {name: verify(compiled, path, images, target) for name, target in TARGETS.items()}


def _images(shape: tuple[int, int, int]) -> np.ndarray:
    folder = SHARED_DATA / "fruit" / "test"
    photos = patterns.photos(folder, shape, MOST_PHOTOS) if folder.is_dir() else np.zeros((0, *shape), np.int8)
    return np.concatenate([patterns.patterns(shape, INPUTS - len(photos)), photos])


def _row(path: Path, compiled: Compiled, runs: dict[str, Verification]) -> list[str]:
    rv32, xtensa = runs["rv32"], runs["xtensa"]
    rv32_millions, xtensa_millions = ((run.instructions or 0) / 1e6 for run in (rv32, xtensa))
    ram = max(rv32, xtensa, key=lambda run: run.ram_bytes)
    return [
        path.stem,
        f"{compiled.graph.macs / 1e6:.2f}",
        f"{tflm.arena_bytes(path, compiled.input_shape) or 0:,}",
        f"{ram.ram_bytes:,}",
        f"{max(compiled.schedule.segments):,}",
        f"{ram.stack_bytes or 0:,}",
        *(f"{run.identical}/{run.inputs}" for run in runs.values()),
        f"{rv32_millions:.2f}",
        f"{xtensa_millions:.2f}",
        f"{xtensa_millions / rv32_millions:.2f}",
        f"{rv32.flash_bytes:,}",
        f"{xtensa.flash_bytes:,}",
    ]


def _fitted(results: list[tuple[Compiled, dict[str, Verification]]]) -> str:
    """a * MACs + b * outputs by least squares over all models; outputs are the bytes that convolutions store."""
    costs = np.array([runs["rv32"].instructions or 0 for _, runs in results], float)
    sizes = np.array([[compiled.graph.macs, _convolution_outputs(compiled)] for compiled, _ in results], float)
    if len(results) < 2:
        return "two models are needed for a fit"
    (per_mac, per_output), *_ = np.linalg.lstsq(sizes / costs[:, None], np.ones(len(costs)), rcond=None)
    worst = np.abs(sizes @ [per_mac, per_output] / costs - 1).max()
    return f"{per_mac:.2f} a MAC + {per_output:.1f} a convolution's output, off by at most {worst:.1%}"


def _convolution_outputs(compiled: Compiled) -> int:
    return sum(int(np.prod(op.outputs[0].shape)) for op in compiled.graph.operators if op.macs)


if __name__ == "__main__":
    main()
