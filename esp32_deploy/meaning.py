"""What a model's input and outputs mean: task, labels, colour, threshold. From the model and its manifest."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from esp32_deploy.compile import activations
from esp32_deploy.compile.arithmetic import (
    FINEST_LOGITS,
    PROBABILITY_SCALE,
    PROBABILITY_ZERO_POINT,
    SoftmaxScaling,
    softmax_scaling,
)
from esp32_deploy.compile.graph import Graph, Operator, Tensor
from esp32_deploy.errors import DeployError
from esp32_deploy.manifest import Manifest
from esp32_deploy.pixels import INT8_OFFSET, bytes_from_int8
from esp32_deploy.words import COLOUR_CHANNELS, DEFAULT_THRESHOLDS, SCORE_STEPS, Decode, Task, colour_of, least_score

# "peaks" is only for networks that were trained to share an object among neighbouring cells. A manifest states that.
DEFAULT_DECODE: Decode = "fuse"
# For a model without this fact the centre of the frame is used, because it is not distorted and has no border.
UNKNOWN_RESIZE = "crop"
# Allowed difference between the model's input for pixel p and p, in bytes (int8 + 128).
PIXEL_TOLERANCE = 1

# Operators that step over the image, and operators that keep its cells. Behind others a cell's size is not known.
STEPPING = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")
KEEPING = (
    *("ADD", "SUB", "MUL", "PAD", "PADV2", "CONCATENATION", "QUANTIZE"),
    *("SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6", "LEAKY_RELU", "PRELU", "HARD_SWISH"),
)


class MeaningError(DeployError):
    """A camera cannot provide the model's input, or the manifest does not fit the model."""


@dataclass(frozen=True)
class Meaning:
    """Facts about a model that a board needs. Shapes are height, width, channels."""

    task: Task
    labels: tuple[str, ...]
    colour: str
    resize: str
    threshold: float
    decode: Decode | None
    """How a grid becomes objects; None for a classifier."""
    softmax: SoftmaxScaling | None
    """The softmax for a classifier that outputs logits; None if the model outputs probabilities."""
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    cell_px: int | None = None
    """Side of a grid's cell in px of the input; None for a classifier. The last cells may reach beyond the image."""
    single_zero: int | None = None
    """For a classifier with a single output, which speaks for the second of two classes: the output's zero point as a
    byte. It is the first class's logit if the output is one."""

    @property
    def least_score(self) -> int:
        """The threshold in 256ths."""
        return least_score(self.threshold)

    def class_values(self, outputs: np.ndarray) -> np.ndarray:
        """Bytes of a classifier's outputs, one for each label: int8 (N, ...) -> uint8 (N, labels).

        The class with the largest one, the first among equals, is the answer.
        """
        values = bytes_from_int8(outputs).reshape(len(outputs), -1)
        if self.single_zero is None:
            return values
        if self.softmax is not None:
            return np.concatenate([np.full_like(values, self.single_zero), values], axis=1)
        rest = np.minimum(SCORE_STEPS - values.astype(np.int16), SCORE_STEPS - 1).astype(np.uint8)
        return np.concatenate([rest, values], axis=1)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """The library's scores in 256ths: int8 outputs (N, ...) -> uint8 (N, labels), or grids of the same shape."""
        if self.task == "detection":
            return bytes_from_int8(outputs).reshape(len(outputs), *self.output_shape)
        values = self.class_values(outputs)
        return values if self.softmax is None else activations.softmax(values, self.softmax)

    def completed(self, manifest: Manifest) -> Manifest:
        """The manifest, completed with facts from the model. An unknown `resize` stays None."""
        return replace(
            manifest,
            task=self.task,
            labels=self.labels,
            colour=self.colour,
            threshold=self.threshold,
            decode=self.decode,
        )


def of(graph: Graph, manifest: Manifest) -> Meaning:
    """The meaning of a graph that `ends.check_ends` accepted. Raises MeaningError if the two do not fit."""
    height, width, channels = input_shape = image_shape(graph.inputs[0])
    if height != width or channels not in COLOUR_CHANNELS.values():
        raise MeaningError(
            f"The model takes images of {width} x {height} px and {channels} channels. Frames are made square and have "
            "1 or 3 channels. Train a model with a square input and 1 or 3 channels."
        )
    _check_pixels(graph.inputs[0])
    rows, columns, _ = output_shape = image_shape(graph.outputs[0])
    task: Task = "detection" if rows * columns > 1 else "classification"
    if manifest.task not in (None, task):
        raise MeaningError(
            f"The manifest says {manifest.task}, but the model outputs {rows} x {columns} cells. Check "
            "whether the manifest belongs to another model."
        )
    colour = colour_of(channels)
    if manifest.colour not in (None, colour):
        raise MeaningError(f"The manifest says {manifest.colour}, but the model takes {channels} channels.")
    return Meaning(
        task=task,
        labels=_labels(graph, manifest),
        colour=colour,
        resize=manifest.resize or UNKNOWN_RESIZE,
        threshold=DEFAULT_THRESHOLDS[task] if manifest.threshold is None else manifest.threshold,
        decode=(manifest.decode or DEFAULT_DECODE) if task == "detection" else None,
        softmax=_softmax(graph, task),
        input_shape=input_shape,
        output_shape=output_shape,
        cell_px=_cell_px(graph, width, (rows, columns)) if task == "detection" else None,
        single_zero=graph.outputs[0].zero_byte if is_single(graph) else None,
    )


def class_count(graph: Graph) -> int:
    """The number of labels that a model needs. Background is none. A single output speaks for two classes."""
    rows, columns, outputs = image_shape(graph.outputs[0])
    return outputs - 1 if rows * columns > 1 else 2 if is_single(graph) else outputs


def is_single(graph: Graph) -> bool:
    """Whether a classifier has a single output: the probability or the logit of the second of two classes."""
    return image_shape(graph.outputs[0]) == (1, 1, 1)


def image_shape(tensor: Tensor) -> tuple[int, int, int]:
    """Height, width, channels of a tensor. Missing leading dimensions are 1."""
    *_, height, width, channels = (1, 1, 1, *tensor.shape[1:])
    return height, width, channels


def _labels(graph: Graph, manifest: Manifest) -> tuple[str, ...]:
    count = class_count(graph)
    if count < 1:
        raise MeaningError(
            "The model's grid has a single channel. A detector needs one for background and one for each class, with "
            "a softmax over them."
        )
    labels = manifest.labels
    if is_single(graph) and (labels is None or len(labels) != count):
        given = "" if labels is None else f" The labels name {', '.join(labels)}."
        raise MeaningError(
            f"The model has a single output, which tells two classes apart.{given} Name both with --labels or in "
            'labels.txt: first the class of outputs near 0, then the class of outputs near 1, such as "no,yes".'
        )
    if labels is None:
        raise MeaningError(
            f"The labels of the model's {count} classes are not known. Put labels.txt (one label per line) or "
            "deploy.json beside the model, or name the classes with --labels."
        )
    if len(labels) != count:
        raise MeaningError(
            f"There are {len(labels)} labels ({', '.join(labels)}), but the model has {count} "
            "classes. Every class needs one label. Background has none."
        )
    return labels


def _cell_px(graph: Graph, size: int, grid: tuple[int, int]) -> int:
    """Side of a cell: the steps of all layers. Raises MeaningError if cells of that size do not cover the image."""
    rows, columns = grid
    steps = _steps(graph)
    if steps is None and rows == columns and size % columns == 0:
        return size // columns
    if steps is not None and steps[0] == steps[1] and rows == columns == math.ceil(size / steps[0]):
        return steps[0]
    stepping = "" if steps is None else f" Its layers step {steps[1]} x {steps[0]} px."
    raise MeaningError(
        f"The model's grid of {columns} x {rows} cells does not cover {size} x {size} px evenly.{stepping} Where a "
        "cell lies is not known. Train a detector whose windows all pad (padding='same' in Keras)."
    )


def _steps(graph: Graph) -> tuple[int, int] | None:
    """Rows and columns of the input from one cell of the output to the next; None if that is not known."""
    rows = columns = 1
    for operator in _path(graph):
        if operator.name in STEPPING:
            rows, columns = rows * operator.options.stride[0], columns * operator.options.stride[1]
        elif operator.name not in KEEPING:
            return None
    return rows, columns


def _last(graph: Graph) -> str:
    """The operator that gives the output its values: the last one that does not only change their shape or scale."""
    return next((operator.name for operator in _path(graph) if operator.name not in ("RESHAPE", "QUANTIZE")), "")


def _path(graph: Graph) -> Iterator[Operator]:
    """The operators from the output back to the image, each the one that computes the first input of the one before."""
    producers = {tensor.index: operator for operator in graph.operators for tensor in operator.outputs}
    tensor: Tensor | None = graph.outputs[0]
    for _ in graph.operators:  # a damaged file may have a circle
        operator = producers.get(tensor.index) if tensor is not None else None
        if operator is None:
            return
        yield operator
        tensor = operator.inputs[0] if operator.inputs else None


def _check_pixels(tensor: Tensor) -> None:
    """Raises MeaningError unless pixel p becomes byte p. Training may scale pixels to 0..1, -1..1 or 0..255."""
    pixels, scale, zero = np.arange(256), tensor.scales[0], tensor.zero_byte
    for scaled in (pixels / 255, pixels / 127.5 - 1, pixels):
        if np.abs(np.rint(scaled / scale) + zero - pixels).max() <= PIXEL_TOLERANCE:
            return
    low, high = (0, 255) if tensor.type == "UINT8" else (-INT8_OFFSET, 255 - INT8_OFFSET)
    raise MeaningError(
        f"The model's input (scale {scale:.6g}, zero point {tensor.zero_points[0]}) does not take pixels as "
        f"{tensor.type.lower()} from {low} to {high}. "
        "Train it on 0..1 or -1..1. Quantize it with images that range from black to white."
    )


def _softmax(graph: Graph, task: Task) -> SoftmaxScaling | None:
    tensor = graph.outputs[0]
    scale, zero = tensor.scales[0], tensor.zero_byte
    if is_single(graph) and _last(graph) == "SOFTMAX":
        raise MeaningError(
            "The model ends in a softmax over a single output, which is always 1. Train it with a sigmoid at its end, "
            "or with an output for each class."
        )
    if (scale, zero) == (PROBABILITY_SCALE, PROBABILITY_ZERO_POINT + INT8_OFFSET):
        return None
    if task == "detection" or scale < FINEST_LOGITS:
        raise MeaningError(
            f"The model's output (scale {scale:.6g}, zero point {tensor.zero_points[0]}) is not a probability. Export "
            "the model with a softmax at its end (int8, scale 1/256, zero point -128)."
        )
    return softmax_scaling(scale, 1.0)
