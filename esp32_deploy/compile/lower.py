"""Lowers a graph to layers that work on rows of unsigned bytes.

Explicit padding moves into the window that reads it. Reshapes disappear. Dense layers become convolutions. Zero points
move into biases. A plane is an activation tensor (height, width, channels) of bytes u = int8 + 128.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from esp32_deploy.compile import activations, arithmetic
from esp32_deploy.compile.arithmetic import (
    Multiplier,
    SoftmaxScaling,
    activation_range,
    quantize_multiplier,
    same_padding,
)
from esp32_deploy.compile.graph import Graph, GraphError, Operator, StreamError, Tensor
from esp32_deploy.compile.requantize import (
    ExactAdd,
    ExactRequantization,
    FastAdd,
    FastRequantization,
    normalize_constant_channels,
    search,
    search_add,
)
from esp32_deploy.pixels import INT8_OFFSET, bytes_from_int8


@dataclass(frozen=True)
class Plane:
    """An activation tensor. `zero` is its zero point as a byte: int8 + 128."""

    name: str
    height: int
    width: int
    channels: int
    zero: int


@dataclass(frozen=True)
class Window:
    """A sliding window: kernel and stride (rows, columns), and the padding around the image in cells."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Convolution:
    """Weights (out, rows, columns, in), or (rows, columns, out) if depthwise, and the requantization of sums."""

    weights: np.ndarray
    exact: ExactRequantization
    fast: FastRequantization | None


@dataclass(frozen=True)
class Addition:
    """The arithmetic of ADD on two bytes."""

    exact: ExactAdd
    fast: FastAdd | None


@dataclass(frozen=True)
class Mean:
    """The multiplier for a sum over all cells, and the zero points as bytes."""

    multiplier: Multiplier
    source_zero: int
    target_zero: int


@dataclass(frozen=True)
class Table:
    """The output byte for each input byte, (256,) uint8."""

    values: np.ndarray


@dataclass(frozen=True)
class Layer:
    """One operation on rows. `sources` and `target` are numbers of planes. `pad` is the byte in cells of padding."""

    number: int
    """Position in the program's list of layers."""
    operator: int
    """Position, in the graph's list, of the operator whose output the layer computes."""
    kind: str
    """convolution, pointwise, depthwise, average_pool, max_pool, mean, add, table, softmax or copy."""
    name: str
    sources: tuple[int, ...]
    target: int
    window: Window = Window()
    pad: int = 0
    low: int = 0
    high: int = 255
    """With `low`, the limits of a pool's output bytes."""
    parameters: Convolution | Addition | Mean | Table | SoftmaxScaling | None = None


@dataclass(frozen=True)
class Program:
    """Planes, and the layers between them in the order of the model. Plane 0 is the image; `output` is a plane too."""

    planes: tuple[Plane, ...]
    layers: tuple[Layer, ...]
    output: int

    def readers(self, plane: int) -> list[Layer]:
        """The layers that read a plane."""
        return [layer for layer in self.layers if plane in layer.sources]


def lower(graph: Graph) -> Program:
    """Lowers a graph that `servable.check` accepted. Raises StreamError for an unsupported reshape."""
    return _Lowering(graph).program()


@dataclass(frozen=True)
class _Value:
    """The values of a tensor: a plane, and padding around it that a later window applies."""

    plane: int
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, bottom, left, right."""


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        image = graph.inputs[0]
        self.planes = [_plane(image, image.shape[1:])]
        self.layers: list[Layer] = []
        self.values = {image.index: _Value(0)}

    def program(self) -> Program:
        for number, operator in enumerate(self.graph.operators):
            self.place = operator.place
            self.number = number
            LOWERINGS[operator.name](self, operator)
        output = self.values[self.graph.outputs[0].index].plane
        if output == 0:
            raise GraphError("The model's output is its input. There is nothing to compile.")
        return Program(tuple(self.planes), tuple(self.layers), output)

    def add_layer(
        self,
        operator: Operator,
        kind: str,
        sources: tuple[int, ...],
        shape: tuple[int, ...],
        window: Window = Window(),
        **parts: Any,
    ) -> None:
        """Adds the layer and the plane of an operator's output, of `shape`. `parts` are other fields of the layer."""
        target = operator.outputs[0]
        self.planes.append(_plane(target, shape))
        plane = len(self.planes) - 1
        self.values[target.index] = _Value(plane)
        layer = Layer(len(self.layers), self.number, kind, target.name, sources, plane, window, **parts)
        self.layers.append(layer)

    def source(self, operator: Operator, number: int = 0) -> tuple[int, Plane]:
        """Number and shape of the plane that an operator's input `number` lies in."""
        tensor = _given(operator.inputs[number])
        plane = self.planes[self.values[tensor.index].plane]
        return self.values[tensor.index].plane, plane

    def image(self, operator: Operator) -> tuple[int, Plane]:
        """Number and shape of the plane that an operator reads as an image.

        Raises StreamError if the tensor was reshaped, because rows and columns are then different.
        """
        number, plane = self.source(operator)
        pads = self.values[_given(operator.inputs[0]).index].pads
        shape = (1, plane.height + pads[0] + pads[1], plane.width + pads[2] + pads[3], plane.channels)
        if _given(operator.inputs[0]).shape != shape:
            raise StreamError(f"{self.place} reads the rows of a tensor that was reshaped.")
        return number, plane

    def window(self, operator: Operator, kernel: tuple[int, int]) -> Window:
        """An operator's window, including the padding of earlier PAD operators."""
        shape, options = _given(operator.inputs[0]).shape, operator.options
        pads = list(self.values[_given(operator.inputs[0]).index].pads)
        if options.padding == "SAME":
            for axis in (0, 1):
                before, after = same_padding(shape[1 + axis], kernel[axis], options.stride[axis])
                pads[2 * axis] += before
                pads[2 * axis + 1] += after
        return Window(kernel, options.stride, *pads)

    def lower_conv_2d(self, operator: Operator) -> None:
        number, plane = self.image(operator)
        weights = _constant(operator.inputs[1])
        window = self.window(operator, (weights.shape[1], weights.shape[2]))
        kind = "pointwise" if window == Window() else "convolution"
        factors = arithmetic.convolution_factors(*_scales(operator))
        parameters = _convolution(operator, weights, weights.reshape(len(weights), -1), factors)
        shape = operator.outputs[0].shape[1:]
        self.add_layer(operator, kind, (number,), shape, window, pad=plane.zero, parameters=parameters)

    def lower_depthwise_conv_2d(self, operator: Operator) -> None:
        number, plane = self.image(operator)
        weights = _constant(operator.inputs[1])[0]  # (rows, columns, out)
        window = self.window(operator, (weights.shape[0], weights.shape[1]))
        factors = arithmetic.convolution_factors(*_scales(operator))
        parameters = _convolution(operator, weights, weights.reshape(-1, weights.shape[2]).T, factors)
        shape = operator.outputs[0].shape[1:]
        self.add_layer(operator, "depthwise", (number,), shape, window, pad=plane.zero, parameters=parameters)

    def lower_fully_connected(self, operator: Operator) -> None:
        number, plane = self.source(operator)
        weights = _constant(operator.inputs[1])  # (out, in)
        parameters = _convolution(operator, weights, weights, arithmetic.dense_factors(*_scales(operator)))
        if weights.shape[1] == plane.channels:
            shape = (plane.height, plane.width, len(weights))
            self.add_layer(operator, "pointwise", (number,), shape, parameters=parameters)
            return
        if weights.shape[1] != plane.height * plane.width * plane.channels:
            raise StreamError(f"{self.place} reads only parts of a reshaped image.")
        filters = weights.reshape(len(weights), plane.height, plane.width, plane.channels)
        parameters = replace(parameters, weights=filters)
        window = Window((plane.height, plane.width))
        self.add_layer(operator, "convolution", (number,), (1, 1, len(weights)), window, parameters=parameters)

    def lower_add(self, operator: Operator) -> None:
        if len(operator.planes) == 1:
            operands = [_byte_values(tensor) for tensor in operator.inputs[:2]]
            self.add_table(operator, _exact_add(operator)(*operands))
            return
        (first, first_plane), (second, second_plane) = self.source(operator, 0), self.source(operator, 1)
        shapes = {(plane.height, plane.width, plane.channels) for plane in (first_plane, second_plane)}
        if len(shapes) > 1:
            raise StreamError(f"{self.place} adds tensors that were reshaped differently.")
        exact = _exact_add(operator)
        parameters = Addition(exact, search_add(exact))
        self.add_layer(operator, "add", (first, second), shapes.pop(), parameters=parameters)

    def lower_mul(self, operator: Operator) -> None:
        first, second = (_given(tensor) for tensor in operator.inputs[:2])
        low, high, zero = _limits(operator)
        multiplier = quantize_multiplier(first.scales[0] * second.scales[0] / operator.outputs[0].scales[0])
        products = (_byte_values(first) - first.zero_byte) * (_byte_values(second) - second.zero_byte)
        self.add_table(operator, np.clip(arithmetic.requantize(products, multiplier) + zero, low, high))

    def lower_pad(self, operator: Operator) -> None:
        number, plane = self.image(operator)
        rows, columns = _constant(operator.inputs[1])[1:3].tolist()
        before = self.values[_given(operator.inputs[0]).index].pads
        pads = tuple(a + b for a, b in zip(before, (*rows, *columns), strict=True))
        target = operator.outputs[0]
        readers = [reader for reader in self.graph.operators if target in reader.inputs]
        is_output = target in self.graph.outputs
        # Convolutions can pad with the zero point: it adds nothing to their sums. Pools must count padded cells.
        if not is_output and all(reader.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "PAD") for reader in readers):
            self.values[target.index] = _Value(number, pads)
            return
        window = Window((1, 1), (1, 1), *pads)
        self.add_layer(operator, "copy", (number,), target.shape[1:], window, pad=plane.zero)

    def lower_pool(self, operator: Operator, kind: str) -> None:
        number, plane = self.image(operator)
        low, high, _ = _limits(operator)
        window = self.window(operator, operator.options.window)
        if kind == "average_pool" and window == Window((plane.height, plane.width), window.stride):
            average = arithmetic.average_multiplier(plane.height * plane.width)
            if average is not None and (low, high) == (0, 255):
                # The average of a whole plane needs one sum per channel. A window would keep all rows.
                self.add_mean(operator, number, Mean(average, INT8_OFFSET, INT8_OFFSET))
                return
        # Padding with byte 0 is neutral: it adds nothing to a sum and is never the maximum.
        self.add_layer(operator, kind, (number,), operator.outputs[0].shape[1:], window, low=low, high=high)

    def lower_mean(self, operator: Operator) -> None:
        number, plane = self.image(operator)
        cells = plane.height * plane.width
        source, target = _given(operator.inputs[0]), operator.outputs[0]
        multiplier = arithmetic.mean_multiplier(source.scales[0], target.scales[0], cells)
        self.add_mean(operator, number, Mean(multiplier, plane.zero, target.zero_byte))

    def add_mean(self, operator: Operator, number: int, parameters: Mean) -> None:
        """Adds the layer that averages all cells of a plane."""
        plane = self.planes[number]
        window = Window((plane.height, plane.width))
        self.add_layer(operator, "mean", (number,), (1, 1, plane.channels), window, parameters=parameters)

    def lower_softmax(self, operator: Operator) -> None:
        number, plane = self.source(operator)
        source = _given(operator.inputs[0])
        if source.shape[-1] != plane.channels:
            raise StreamError(
                f"{self.place} runs over an image that was flattened. It needs the channels as its last dimension."
            )
        scaling = arithmetic.softmax_scaling(source.scales[0], operator.options.beta)
        shape = (plane.height, plane.width, plane.channels)
        self.add_layer(operator, "softmax", (number,), shape, parameters=scaling)

    def lower_quantize(self, operator: Operator) -> None:
        """Adds no layer if the bytes stay the same, as between UINT8 and INT8 ends of equal scale."""
        source, target = _given(operator.inputs[0]), operator.outputs[0]
        if source.scales == target.scales and source.zero_byte == target.zero_byte:
            self.values[target.index] = self.values[source.index]
            return
        values = (source.scales[0], source.zero_byte, target.scales[0], target.zero_byte)
        self.add_table(operator, activations.requantization_table(*values))

    def lower_logistic(self, operator: Operator) -> None:
        source = _given(operator.inputs[0])
        self.add_table(operator, activations.sigmoid_table(source.scales[0], source.zero_byte))

    def add_table(self, operator: Operator, values: np.ndarray) -> None:
        """Adds a layer that replaces each byte of the operator's only plane by one of `values`, (256,)."""
        number, plane = self.source(operator, operator.inputs.index(operator.planes[0]))
        shape = (plane.height, plane.width, plane.channels)
        self.add_layer(operator, "table", (number,), shape, parameters=Table(values.astype(np.uint8)))

    def lower_reshape(self, operator: Operator) -> None:
        """Adds no layer, because bytes keep their order (rows, columns, channels). Later readers check the shape."""
        source = _given(operator.inputs[0])
        if any(self.values[source.index].pads):
            raise StreamError(f"{self.place} reshapes a padded tensor.")
        self.values[operator.outputs[0].index] = self.values[source.index]


# For each operator that `servable` accepts: the method that lowers it to layers.
LOWERINGS: dict[str, Callable[[_Lowering, Operator], None]] = {
    "CONV_2D": _Lowering.lower_conv_2d,
    "DEPTHWISE_CONV_2D": _Lowering.lower_depthwise_conv_2d,
    "FULLY_CONNECTED": _Lowering.lower_fully_connected,
    "ADD": _Lowering.lower_add,
    "MUL": _Lowering.lower_mul,
    "PAD": _Lowering.lower_pad,
    "AVERAGE_POOL_2D": partial(_Lowering.lower_pool, kind="average_pool"),
    "MAX_POOL_2D": partial(_Lowering.lower_pool, kind="max_pool"),
    "MEAN": _Lowering.lower_mean,
    "QUANTIZE": _Lowering.lower_quantize,
    "LOGISTIC": _Lowering.lower_logistic,
    "RESHAPE": _Lowering.lower_reshape,
    "SOFTMAX": _Lowering.lower_softmax,
}


def _plane(tensor: Tensor, shape: tuple[int, ...]) -> Plane:
    height, width, channels = shape if len(shape) == 3 else (1, 1, prod(shape))
    return Plane(tensor.name, height, width, channels, tensor.zero_byte)


def _given(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise GraphError("A required input of an operator is missing. Export the model again.")
    return tensor


def _constant(tensor: Tensor | None) -> np.ndarray:
    data = _given(tensor).data
    if data is None:
        raise StreamError(f"{_given(tensor).name!r} must be a constant.")
    return data


def _byte_values(tensor: Tensor | None) -> np.ndarray:
    """All bytes that an operand can have: (1,) for a constant, (256,) for a plane."""
    constant = _given(tensor).data
    return activations.BYTES if constant is None else bytes_from_int8(constant).reshape(1).astype(np.int64)


def _exact_add(operator: Operator) -> ExactAdd:
    first, second = (_given(tensor) for tensor in operator.inputs[:2])
    low, high, zero = _limits(operator)
    scaling = arithmetic.add_scaling(first.scales[0], second.scales[0], operator.outputs[0].scales[0])
    return ExactAdd(scaling, first.zero_byte, second.zero_byte, zero, low, high)


def _scales(operator: Operator) -> tuple[float, tuple[float, ...], float]:
    return _given(operator.inputs[0]).scales[0], _given(operator.inputs[1]).scales, operator.outputs[0].scales[0]


def _limits(operator: Operator) -> tuple[int, int, int]:
    """Lowest and highest output byte of the fused activation, and the output's zero point as a byte."""
    target = operator.outputs[0]
    low, high = activation_range(operator.options.activation, target.scales[0], target.zero_points[0])
    return low + INT8_OFFSET, high + INT8_OFFSET, target.zero_byte


def _convolution(operator: Operator, weights: np.ndarray, rows: np.ndarray, factors: list[float]) -> Convolution:
    """Parameters of a convolution. `rows` (out, n) are its weights with one row per output channel."""
    wide = rows.astype(np.int64)
    given = operator.inputs[2] if len(operator.inputs) > 2 else None
    bias = np.zeros(len(wide), np.int64) if given is None else _constant(given).ravel().astype(np.int64)
    multipliers = [quantize_multiplier(factor) for factor in factors]
    if len(multipliers) == 1:
        multipliers *= len(wide)
    source_zero = _given(operator.inputs[0]).zero_byte
    low, high, zero = _limits(operator)
    defined = ExactRequantization(
        bias=bias - source_zero * wide.sum(axis=1),
        mantissa=np.array([multiplier.mantissa for multiplier in multipliers], np.int64),
        exponent=np.array([multiplier.exponent for multiplier in multipliers], np.int64),
        zero_point=zero,
        low=low,
        high=high,
        least=255 * np.minimum(wide, 0).sum(axis=1),
        greatest=255 * np.maximum(wide, 0).sum(axis=1),
    )
    exact = normalize_constant_channels(defined)
    return Convolution(weights, exact, search(exact))
