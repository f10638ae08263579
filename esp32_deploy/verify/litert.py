"""LiteRT's reference kernels in the place of TensorFlow Lite Micro's, which has no wheel for macOS and Windows.

Both compute the same bytes, except in FULLY_CONNECTED, where LiteRT rounds about one output of 200 to its neighbour.
LiteRT plans its memory in another way than a board, so it knows no arena.
"""

from pathlib import Path
from typing import Any

import numpy as np

from esp32_deploy.compile import graph

# the operator that LiteRT computes differently
DIFFERENT = "FULLY_CONNECTED"


class Reference:
    """An int8 model in LiteRT's interpreter, with the methods of TensorFlow Lite Micro's that this project calls."""

    def __init__(self, model: Path) -> None:
        """Loads a model file. Raises RuntimeError or ValueError if LiteRT refuses it or rounds it differently."""
        if DIFFERENT in graph.read(model).operator_names:
            raise ValueError(
                f"the package tflite-micro is missing, and LiteRT rounds {DIFFERENT} differently. tflite-micro is only "
                "made for Linux on x86-64. Work there, or with Docker"
            )
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        self._interpreter.allocate_tensors()

    def get_input_details(self, index: int) -> dict[str, Any]:
        """Name, shape, type and quantization of an input."""
        return dict(self._interpreter.get_input_details()[index])

    def get_output_details(self, index: int) -> dict[str, Any]:
        """Name, shape, type and quantization of an output."""
        return dict(self._interpreter.get_output_details()[index])

    def set_input(self, values: np.ndarray, index: int) -> None:
        """Sets an input, with its batch axis."""
        self._interpreter.set_tensor(self.get_input_details(index)["index"], values)

    def invoke(self) -> None:
        """Computes the outputs."""
        self._interpreter.invoke()

    def get_output(self, index: int) -> np.ndarray:
        """An output, with its batch axis."""
        return np.asarray(self._interpreter.get_tensor(self.get_output_details(index)["index"]))
