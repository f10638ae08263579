"""Measures compiled models on two emulated processors, and compares their outputs with TensorFlow Lite Micro's.

    python benchmarks/deploy.py [MODEL.tflite ...]

Each fixture and each named model processes 200 inputs on the host and on the emulators. The inputs are patterns, and
photos if there are some beside the project. The emulators count instructions exactly but do not model caches or flash.
Takes one minute per model, three for width 1.0 at 224 px. The tables come at the end.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from block_runs import SHARED_DATA, table

from esp32_deploy import photos
from esp32_deploy.arduino import boards, library
from esp32_deploy.compile.compiler import Compiled, compile_file
from esp32_deploy.verify import patterns, tflm
from esp32_deploy.verify.simulate import TARGETS, Verification, verify

INPUTS = 200
MOST_PHOTOS = 60
NAME = "measured_model"
# number of inputs that one process of TensorFlow Lite Micro's reference kernels runs
BATCH = 40


@dataclass(frozen=True)
class Measured:
    """The results of one model on every target."""

    path: Path
    compiled: Compiled
    arena_bytes: int
    runs: dict[str, Verification]

    @property
    def ram_bytes(self) -> int:
        """RAM without the camera frame: rows, objects and stack, on the processor that needs more."""
        network = max(run.ram_bytes for run in self.runs.values() if run.stack_bytes is not None)
        return network + library.frame_reader_bytes(self.compiled.input_shape)

    @property
    def frame_bytes(self) -> int:
        """The Camera sketch's frame without PSRAM, for a model whose photos were squashed into a square."""
        size, _, channels = self.compiled.input_shape
        return boards.frame_sizes(size, channels, "squash")[1].frame_bytes(channels)

    @property
    def fits(self) -> bool:
        """Whether the network and the frame fit on a board without PSRAM."""
        segments = self.compiled.schedule.segments
        return boards.fits_without_psram((*segments, self.frame_bytes), self.ram_bytes - sum(segments))


def main() -> None:
    fixtures = sorted((SHARED_DATA / "models").glob("*.tflite"))
    models = [*fixtures, *map(Path, sys.argv[1:])]
    if not models:
        raise SystemExit("There are no fixtures beside the project. Name a .tflite.")
    results = [_measured(path) for path in models]
    print("\nMemory:\n")
    header = ["model", "MACs M", "TFLM arena B", "RAM B", "largest piece B", "stack B", "frame B", "together B"]
    table([[*header, "without PSRAM"], *map(_memory_row, results)])
    print("\nExactness and work:\n")
    header = ["model", "identical host", "rv32", "lx106", "rv32 M", "lx106 M", "ratio", "flash rv32 B", "lx106 B"]
    table([header, *map(_work_row, results)])
    print(f"\nrv32 instructions: {_fitted(results)}")


def _measured(path: Path) -> Measured:
    print(f"{path.stem} ...", flush=True)
    compiled = compile_file(path, NAME)
    images = _images(compiled.input_shape)
    batches = [tflm.interpret(path, images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    expected = np.concatenate([batch.outputs for batch in batches])
    runs = {name: verify(compiled, images, expected, target) for name, target in TARGETS.items()}
    arena_bytes = batches[0].arena_bytes
    if arena_bytes is None:
        raise SystemExit("This benchmark needs the package tflite-micro, which is only made for Linux on x86-64.")
    return Measured(path, compiled, arena_bytes, runs)


def _images(shape: tuple[int, int, int]) -> np.ndarray:
    folder = SHARED_DATA / "fruit" / "test"
    found = photos.model_inputs(folder, shape, MOST_PHOTOS) if folder.is_dir() else np.zeros((0, *shape), np.int8)
    return np.concatenate([patterns.patterns(shape, INPUTS - len(found)), found])


def _memory_row(one: Measured) -> list[str]:
    return [
        one.path.stem,
        f"{one.compiled.graph.macs / 1e6:.2f}",
        f"{one.arena_bytes:,}",
        f"{one.ram_bytes:,}",
        f"{max(one.compiled.schedule.segments):,}",
        f"{max(run.stack_bytes or 0 for run in one.runs.values()):,}",
        f"{one.frame_bytes:,}",
        f"{one.ram_bytes + one.frame_bytes:,}",
        "fits" if one.fits else "no",
    ]


def _work_row(one: Measured) -> list[str]:
    rv32, xtensa = one.runs["rv32"], one.runs["xtensa"]
    rv32_millions, xtensa_millions = ((run.instructions or 0) / 1e6 for run in (rv32, xtensa))
    return [
        one.path.stem,
        *(f"{run.identical}/{run.inputs}" for run in one.runs.values()),
        f"{rv32_millions:.2f}",
        f"{xtensa_millions:.2f}",
        f"{xtensa_millions / rv32_millions:.2f}",
        f"{rv32.flash_bytes:,}",
        f"{xtensa.flash_bytes:,}",
    ]


def _fitted(results: list[Measured]) -> str:
    """Fits instructions = a * MACs + b * outputs to all models. Outputs are the bytes that convolutions store.

    Minimises the relative error by least squares.
    """
    costs = np.array([one.runs["rv32"].instructions or 0 for one in results], float)
    sizes = np.array([[one.compiled.graph.macs, _convolution_outputs(one.compiled)] for one in results], float)
    if len(results) < 2:
        return "a fit needs two models"
    (per_mac, per_output), *_ = np.linalg.lstsq(sizes / costs[:, None], np.ones(len(costs)), rcond=None)
    worst = np.abs(sizes @ [per_mac, per_output] / costs - 1).max()
    return f"{per_mac:.2f} a MAC + {per_output:.1f} a convolution's output, off by at most {worst:.1%}"


def _convolution_outputs(compiled: Compiled) -> int:
    return sum(int(np.prod(op.outputs[0].shape)) for op in compiled.graph.operators if op.macs)


if __name__ == "__main__":
    main()
