"""A compiled model and TensorFlow Lite Micro side by side on the same inputs: the figures that `verify` prints."""

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from esp32_deploy.compile.compiler import Compiled
from esp32_deploy.verify import simulate
from esp32_deploy.verify.simulate import Target


@dataclass(frozen=True)
class Verification:
    """How many inputs gave identical bytes, and what the model took; None where a target measures nothing."""

    target: str
    inputs: int
    identical: int
    distinct_outputs: int
    first_difference: int | None
    """The first input whose output differs."""
    instructions: int | None
    """The most of any input."""
    ram_bytes: int
    stack_bytes: int | None
    flash_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def verify(compiled: Compiled, images: np.ndarray, expected: np.ndarray, target: Target) -> Verification:
    """Runs int8 images (N, height, width, channels) and compares with what TensorFlow Lite Micro gave for them.

    Raises SimulationError.
    """
    expected = expected.reshape(len(images), -1)
    with TemporaryDirectory() as folder:
        run = simulate.run(compiled, images, target, Path(folder))
    same = (run.outputs.reshape(len(images), -1) == expected).all(axis=1)
    return Verification(
        target=target.name,
        inputs=len(images),
        identical=int(same.sum()),
        distinct_outputs=len(np.unique(expected, axis=0)),
        first_difference=None if same.all() else int(np.flatnonzero(~same)[0]),
        instructions=run.instructions,
        ram_bytes=run.ram_bytes,
        stack_bytes=run.stack_bytes,
        flash_bytes=run.flash_bytes,
    )
