"""Checks whether a graph can be compiled. Errors name the operator, its place and the remedy."""

import math
from collections.abc import Callable
from math import prod

import numpy as np

from esp32_deploy.compile.activations import SIGMOID_FRACTION_BITS
from esp32_deploy.compile.arithmetic import FINEST_LOGITS, PROBABILITY_SCALE, PROBABILITY_ZERO_POINT, same_padding
from esp32_deploy.compile.ends import BYTE_TYPES, EXPORT_INT8, check_activation, check_ends, check_scales
from esp32_deploy.compile.graph import Graph, GraphError, Operator, StreamError, Tensor

# Limits above those of any image network for a microcontroller. They stop damaged files from requesting huge memory.
LARGEST_WINDOW = 256
MOST_OPERATORS = 1024

LARGEST_SCALE_RATIO = 2**20
"""Of a QUANTIZE. Products with bytes must fit 32 bits."""
LARGEST_PRODUCT_RATIO = 2**14
"""Of a MUL: the scales of its inputs over that of its output. Products with two bytes must fit 32 bits."""

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def check(graph: Graph) -> None:
    """Raises GraphError for the first part of a graph that cannot be compiled."""
    check_ends(graph)
    known = {graph.inputs[0].index}
    if len(graph.operators) > MOST_OPERATORS:
        raise GraphError(f"The model has {len(graph.operators)} operators. At most {MOST_OPERATORS} are supported.")
    for operator in graph.operators:
        _check_operator(operator, operator.place, known)
        known.add(operator.outputs[0].index)
    if graph.outputs[0].index not in known - {graph.inputs[0].index}:
        raise GraphError(f"No operator computes the model's output {graph.outputs[0].name!r}. Export the model again.")
    if graph.operators[-1].outputs[0].index != graph.outputs[0].index:
        raise StreamError(f"operators follow the one that computes its output {graph.outputs[0].name!r}.")


def _check_operator(operator: Operator, place: str, known: set[int]) -> None:
    checks = CHECKS.get(operator.name)
    if checks is None:
        raise StreamError(f"{place} is not supported. Supported are: {', '.join(CHECKS)}.")
    operands, check_one = checks
    if len(operator.inputs) < operands or len(operator.outputs) != 1:
        raise GraphError(f"{place} has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs.")
    if not operator.planes:
        raise StreamError(f"{place} reads only constants.")
    types = tuple(BYTE_TYPES) if operator.name == "QUANTIZE" else ("INT8",)
    for tensor in operator.planes:
        if tensor is None or tensor.index not in known:
            raise StreamError(f"{place} {_unknown(operator, tensor)}.")
        check_activation(tensor, place, types=types)
    if operator.outputs[0].index in known or operator.outputs[0].is_constant:
        raise GraphError(f"{place} writes to a tensor that already has a value. Export the model again.")
    check_activation(operator.outputs[0], place, types=types)
    if operator.options.activation not in ACTIVATIONS:
        raise StreamError(f"{place} has the fused activation {operator.options.activation}.")
    check_one(operator, place)


def _unknown(operator: Operator, tensor: Tensor | None) -> str:
    """Describes an input that is not a plane computed by an earlier operator."""
    if tensor is None:
        return "lacks an input"
    if not tensor.is_constant:
        return f"reads {tensor.name!r}, which no operator before it computes"
    constant = f"the constant plane {tensor.name!r} of shape {tensor.shape}"
    return f"adds {constant}. Only computed planes can be added" if operator.name == "ADD" else f"reads {constant}"


def _require_shape(operator: Operator, place: str, expected: tuple[int, ...]) -> None:
    if operator.outputs[0].shape != expected:
        shape = operator.outputs[0].shape
        raise GraphError(f"{place} has the output shape {shape}. Its inputs give {expected}. Export the model again.")


def _check_weights(operator: Operator, place: str, ranks: int, axis: int) -> None:
    weights, bias = operator.inputs[1], operator.inputs[2] if len(operator.inputs) > 2 else None
    if weights is None or weights.type != "INT8" or weights.data is None or len(weights.shape) != ranks:
        kind = "missing" if weights is None else f"{weights.type} of shape {weights.shape}"
        raise GraphError(f"{place}: its weights are {kind}. Constant INT8 is expected. {EXPORT_INT8}.")
    channels = weights.shape[axis]
    if len(weights.scales) not in (1, channels) or (len(weights.scales) > 1 and weights.quantized_axis != axis):
        raise GraphError(f"{place}: {len(weights.scales)} weight scales for {channels} channels. {EXPORT_INT8}.")
    check_scales(weights, place)
    if any(weights.zero_points):
        raise GraphError(f"{place}: its weights have a zero point other than 0. {EXPORT_INT8}.")
    if bias is not None and (bias.type != "INT32" or bias.data is None or bias.data.size != channels):
        raise GraphError(
            f"{place}: its bias is {bias.type} of shape {bias.shape}. {channels} INT32 values are expected."
        )
    factor = operator.inputs[0].scales[0] * max(weights.scales) / operator.outputs[0].scales[0]  # type: ignore[union-attr]
    largest_bias = 0 if bias is None or bias.data is None else int(np.abs(bias.data.astype(np.int64)).max())
    reach = 255 * 128 * prod(weights.shape) // channels + largest_bias
    if reach >= 2**31 or reach * max(factor, 1) >= 2**31:
        raise StreamError(f"{place}: its sums do not fit 32 bits (ratio of scales {factor:.3g}).")


def _image(tensor: Tensor | None, place: str) -> tuple[int, int, int]:
    if tensor is None or len(tensor.shape) != 4:
        raise GraphError(f"{place} reads {None if tensor is None else tensor.shape}, not an image.")
    return tensor.shape[1], tensor.shape[2], tensor.shape[3]


def _window_outputs(operator: Operator, place: str, window: tuple[int, int]) -> tuple[int, int]:
    options = operator.options
    if options.dilation != (1, 1):
        raise StreamError(f"{place} has dilation {options.dilation}. Only dilation 1 is supported.")
    if not all(1 <= extent <= LARGEST_WINDOW for extent in (*window, *options.stride)):
        raise GraphError(f"{place} has window {window} and stride {options.stride}, which are not supported.")
    if options.padding not in ("SAME", "VALID"):
        raise GraphError(f"{place} has padding {options.padding}. SAME and VALID are supported.")
    outputs = []
    for extent, kernel, stride in zip(_image(operator.inputs[0], place), window, options.stride, strict=False):
        padding = sum(same_padding(extent, kernel, stride)) if options.padding == "SAME" else 0
        outputs.append((extent + padding - kernel) // stride + 1)
    if min(outputs) < 1:
        raise GraphError(f"{place}: its window {window} is larger than its input. Export the model again.")
    return outputs[0], outputs[1]


def _check_convolution(operator: Operator, place: str) -> None:
    _check_weights(operator, place, ranks=4, axis=0)
    outputs, rows, columns, inputs = operator.inputs[1].shape  # type: ignore[union-attr]
    channels = _image(operator.inputs[0], place)[2]
    if inputs != channels:
        raise StreamError(
            f"{place}: its filters have {inputs} channels, its input has {channels}. Groups are not supported."
        )
    _require_shape(operator, place, (1, *_window_outputs(operator, place, (rows, columns)), outputs))


def _check_depthwise(operator: Operator, place: str) -> None:
    _check_weights(operator, place, ranks=4, axis=3)
    batch, rows, columns, outputs = operator.inputs[1].shape  # type: ignore[union-attr]
    channels = _image(operator.inputs[0], place)[2]
    if batch != 1 or outputs % channels:
        raise GraphError(f"{place}: {outputs} filters cannot be divided among {channels} channels.")
    if operator.options.depth_multiplier * channels != outputs:
        # TensorFlow Lite Micro believes the option, and would write outside of its output.
        multiplier = operator.options.depth_multiplier
        raise GraphError(
            f"{place} has the depth multiplier {multiplier}, but {outputs} filters for {channels} channels. "
            "Export the model again."
        )
    _require_shape(operator, place, (1, *_window_outputs(operator, place, (rows, columns)), outputs))


def _check_dense(operator: Operator, place: str) -> None:
    _check_weights(operator, place, ranks=2, axis=0)
    outputs, inputs = operator.inputs[1].shape  # type: ignore[union-attr]
    shape = operator.inputs[0].shape  # type: ignore[union-attr]
    if prod(shape) % inputs or prod(operator.outputs[0].shape) != prod(shape) // inputs * outputs:
        raise GraphError(f"{place}: weights {(outputs, inputs)} do not fit an input of shape {shape}.")


def _check_add(operator: Operator, place: str) -> None:
    first, *others = (tensor.shape for tensor in operator.planes if tensor is not None)
    if others not in ([first], []):
        raise StreamError(f"{place} adds the shapes {first} and {others[0]}. Only equal shapes are supported.")
    _check_scalars(operator, place)
    _require_shape(operator, place, first)


def _check_multiply(operator: Operator, place: str) -> None:
    if len(operator.planes) > 1:
        raise StreamError(f"{place} multiplies two planes. Only a plane and a single constant can be multiplied.")
    _check_scalars(operator, place)
    _require_shape(operator, place, operator.planes[0].shape)  # type: ignore[union-attr]
    first, second = (tensor.scales[0] for tensor in operator.inputs[:2] if tensor is not None)
    ratio = first * second / operator.outputs[0].scales[0]
    if ratio > LARGEST_PRODUCT_RATIO:
        raise StreamError(f"{place}: the ratio of its scales {ratio:.3g} is too large for its arithmetic.")


def _check_scalars(operator: Operator, place: str) -> None:
    for tensor in operator.inputs[:2]:
        if tensor is not None and tensor.is_scalar:
            if tensor.type != "INT8" or len(tensor.scales) != 1 or len(tensor.zero_points) != 1:
                raise GraphError(
                    f"{place}: the constant {tensor.name!r} is {tensor.type} with {len(tensor.scales)} scales. INT8 "
                    f"with one scale is expected. {EXPORT_INT8}."
                )
            check_scales(tensor, place)


def _check_pool(operator: Operator, place: str) -> None:
    channels = _image(operator.inputs[0], place)[2]
    _require_shape(operator, place, (1, *_window_outputs(operator, place, operator.options.window), channels))
    _check_unchanged_scale(operator, place)


def _check_unchanged_scale(operator: Operator, place: str) -> None:
    before, after = operator.inputs[0], operator.outputs[0]
    if before is None or (before.scales, before.zero_points) != (after.scales, after.zero_points):
        raise StreamError(f"{place} changes the scale or the zero point. It must keep those of its input.")


def _constant_integers(operator: Operator, place: str) -> np.ndarray:
    tensor = operator.inputs[1]
    if tensor is None or tensor.data is None or tensor.type not in ("INT32", "INT64"):
        raise StreamError(f"{place}: its second input must be a constant of integers.")
    return tensor.data


def _check_pad(operator: Operator, place: str) -> None:
    shape = (1, *_image(operator.inputs[0], place))
    paddings = _constant_integers(operator, place)
    if paddings.shape != (4, 2) or paddings.min() < 0 or paddings.max() > LARGEST_WINDOW or paddings[[0, 3]].any():
        raise StreamError(f"{place} has the paddings {paddings.tolist()}. Only rows and columns can be padded.")
    _require_shape(operator, place, tuple(int(n + sum(p)) for n, p in zip(shape, paddings, strict=True)))
    _check_unchanged_scale(operator, place)


def _check_mean(operator: Operator, place: str) -> None:
    channels = _image(operator.inputs[0], place)[2]
    axes = sorted(int(axis) for axis in _constant_integers(operator, place).ravel())
    # a negative axis counts from the end; one outside the four is damage
    if sorted(axis + 4 if -4 <= axis < 0 else axis for axis in axes) != [1, 2]:
        raise StreamError(f"{place} averages axes {axes}. Only rows and columns (1, 2) are supported.")
    _require_shape(operator, place, (1, 1, 1, channels) if operator.options.keep_dims else (1, channels))


def _check_reshape(operator: Operator, place: str) -> None:
    before, after = operator.inputs[0], operator.outputs[0]
    if before is None or prod(before.shape) != prod(after.shape):
        raise GraphError(
            f"{place}: its output {after.shape} has another number of values than its input. Export the model again."
        )
    _check_unchanged_scale(operator, place)


def _check_probabilities(operator: Operator, place: str) -> None:
    _require_shape(operator, place, operator.inputs[0].shape)  # type: ignore[union-attr]
    if (operator.outputs[0].scales, operator.outputs[0].zero_points) != (
        (PROBABILITY_SCALE,),
        (PROBABILITY_ZERO_POINT,),
    ):
        raise GraphError(f"{place}: its output must have scale 1/256 and zero point -128. {EXPORT_INT8}.")


def _check_softmax(operator: Operator, place: str) -> None:
    _check_probabilities(operator, place)
    if not math.isfinite(operator.options.beta) or operator.options.beta <= 0:
        raise GraphError(f"{place} has beta {operator.options.beta}. It must be positive.")
    step = operator.options.beta * operator.inputs[0].scales[0]  # type: ignore[union-attr]
    if step < FINEST_LOGITS:
        raise StreamError(f"{place}: the scale {step:.3g} of its logits is too small for its arithmetic.")


def _check_sigmoid(operator: Operator, place: str) -> None:
    _check_probabilities(operator, place)
    scale = operator.inputs[0].scales[0]  # type: ignore[union-attr]
    if scale < 2**-SIGMOID_FRACTION_BITS:
        raise StreamError(f"{place}: the scale {scale:.3g} of its input is too small for its arithmetic.")


def _check_quantize(operator: Operator, place: str) -> None:
    source, target = operator.inputs[0], operator.outputs[0]
    _require_shape(operator, place, source.shape)  # type: ignore[union-attr]
    if source.type == target.type == "UINT8":  # type: ignore[union-attr]
        raise StreamError(f"{place} changes UINT8 to UINT8, which TensorFlow Lite Micro does not support.")
    ratio = source.scales[0] / target.scales[0]  # type: ignore[union-attr]
    if ratio > LARGEST_SCALE_RATIO:
        raise StreamError(f"{place}: the ratio of its scales {ratio:.3g} is too large for its arithmetic.")


# For each operator: its least number of inputs, and its check. `lower.LOWERINGS` has the same operators.
CHECKS: dict[str, tuple[int, Callable[[Operator, str], None]]] = {
    "CONV_2D": (2, _check_convolution),
    "DEPTHWISE_CONV_2D": (2, _check_depthwise),
    "FULLY_CONNECTED": (2, _check_dense),
    "ADD": (2, _check_add),
    "MUL": (2, _check_multiply),
    "PAD": (2, _check_pad),
    "AVERAGE_POOL_2D": (1, _check_pool),
    "MAX_POOL_2D": (1, _check_pool),
    "MEAN": (2, _check_mean),
    "QUANTIZE": (1, _check_quantize),
    "LOGISTIC": (1, _check_sigmoid),
    "RESHAPE": (1, _check_reshape),
    "SOFTMAX": (1, _check_softmax),
}

STREAMED = frozenset(CHECKS)
"""Operators that the streaming compiler supports."""
INTERPRETED = frozenset(("BATCH_MATMUL", "TRANSPOSE"))
"""Operators of self-attention, which only TensorFlow Lite Micro's interpreter runs."""
