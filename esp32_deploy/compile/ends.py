"""Checks a model's ends and activations: their layout, types and scales. Errors name the remedy."""

import math

from esp32_deploy.compile.graph import CONVOLUTIONS, Graph, GraphError, StreamError, Tensor

# Above that of any image network for a microcontroller. It stops damaged files from requesting huge memory.
LARGEST_EXTENT = 4096

BYTE_TYPES = {"INT8": (-128, 127), "UINT8": (0, 255)}
"""Types of a model's ends, with their limits. A model with UINT8 ends computes in INT8 between two QUANTIZE."""

EXPORT_INT8 = "Export the model with full int8 quantization (representative images, int8 input and int8 output)"
SET_INT8_ENDS = (
    "Export it again with converter.inference_input_type = converter.inference_output_type = tf.int8 (or tf.uint8)"
)
TEACHABLE_MACHINE = (
    "In Teachable Machine choose Export Model > TensorFlow Lite > Quantized; its other exports compute in float"
)
FIX_BATCH = "Export the model for one image, as with batch_size=1 in Keras' Input"
EXPORT_NHWC = (
    "Convert the ONNX file with a converter that lays images out as (1, height, width, channels), such as onnx2tf"
)


def check_ends(graph: Graph) -> None:
    """Raises GraphError unless a model computes in int8, from one image (1, height, width, channels) to one output.

    Input and output are INT8 or UINT8.
    """
    _check_layout(graph)
    _check_numbers(graph)
    for what, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        if len(tensors) != 1:
            raise GraphError(f"The model has {len(tensors)} {what}s. Only models with one {what} are supported.")
        tensor = tensors[0]
        if tensor.type not in BYTE_TYPES:
            raise GraphError(f"The model's {what} is {tensor.type}, not INT8 or UINT8. {EXPORT_INT8}.")
        check_activation(tensor, f"The model's {what}", GraphError, tuple(BYTE_TYPES))


def _check_numbers(graph: Graph) -> None:
    """Raises GraphError unless all convolutions read INT8, and for int8 networks that take or give floats."""
    computed = {
        operator.inputs[0].type for operator in graph.operators if operator.name in CONVOLUTIONS and operator.inputs[0]
    }
    if "FLOAT32" in computed:
        weights = {tensor.type for tensor in _weights(graph)}
        stored = "" if weights == {"FLOAT32"} else f", although its weights are {' and '.join(sorted(weights))}"
        raise GraphError(f"The model computes in FLOAT32{stored}. {EXPORT_INT8}. {TEACHABLE_MACHINE}.")
    if "UINT8" in computed:
        raise GraphError(
            "The model computes in UINT8, the quantization of TensorFlow 1, which TensorFlow Lite Micro no longer "
            f"runs. {EXPORT_INT8}."
        )
    floats = [
        what
        for what, tensors in (("takes", graph.inputs), ("gives", graph.outputs))
        if any(tensor.type == "FLOAT32" for tensor in tensors)
    ]
    if floats and computed == {"INT8"}:
        raise GraphError(f"The model computes in INT8, but {' and '.join(floats)} FLOAT32. {SET_INT8_ENDS}.")


def _weights(graph: Graph) -> list[Tensor]:
    operators = [operator for operator in graph.operators if operator.name in CONVOLUTIONS]
    return [weights for operator in operators if (weights := operator.inputs[1]) is not None]


def _check_layout(graph: Graph) -> None:
    shape = graph.inputs[0].shape if graph.inputs else ()
    is_channels_first = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)
    is_transposed = any(operator.name == "TRANSPOSE" for operator in graph.operators[:1])
    if is_channels_first or is_transposed:
        is_float = graph.inputs[0].type == "FLOAT32"
        raise GraphError(
            f"The model's input {shape} is laid out with the channels first (NCHW). {EXPORT_NHWC}."
            + (f" The input is also in float. {EXPORT_INT8}." if is_float else "")
        )
    if len(shape) != 4:
        raise GraphError(f"The model's input has the shape {shape}. Images (1, height, width, channels) are supported.")


def check_activation(
    tensor: Tensor, place: str, refusal: type[GraphError] = StreamError, types: tuple[str, ...] = ("INT8",)
) -> None:
    """Raises GraphError for an invalid activation tensor, and `refusal` for an unsupported shape."""
    if tensor.is_dynamic:
        raise GraphError(
            f"{place}: {tensor.name!r} has dimensions without a fixed size. Export the model for images of one size, "
            "as with Input((96, 96, 3), batch_size=1) in Keras."
        )
    if not tensor.shape or tensor.shape[0] != 1:
        raise GraphError(f"{place}: {tensor.name!r} has the shape {tensor.shape}. {FIX_BATCH}.")
    if not all(1 <= extent <= LARGEST_EXTENT for extent in tensor.shape) or len(tensor.shape) > 4:
        raise refusal(f"{place}: {tensor.name!r} has the shape {tensor.shape}, which is not supported.")
    if tensor.type not in types:
        raise GraphError(f"{place}: {tensor.name!r} is {tensor.type}, not {' or '.join(types)}. {EXPORT_INT8}.")
    if len(tensor.scales) != 1 or len(tensor.zero_points) != 1:
        raise GraphError(f"{place}: {tensor.name!r} has {len(tensor.scales)} scales. One is expected. {EXPORT_INT8}.")
    check_scales(tensor, place)


def check_scales(tensor: Tensor, place: str) -> None:
    """Raises GraphError unless all scales are positive numbers and all zero points fit the tensor's type."""
    if not all(math.isfinite(scale) and scale > 0 for scale in tensor.scales):
        raise GraphError(f"{place}: {tensor.name!r} has a scale that is not a positive number. Export the model again.")
    low, high = BYTE_TYPES[tensor.type]
    if not all(low <= point <= high for point in tensor.zero_points):
        raise GraphError(
            f"{place}: {tensor.name!r} has a zero point outside {tensor.type.lower()}. Export the model again."
        )
