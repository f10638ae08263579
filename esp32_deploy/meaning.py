"""What a model's input and outputs mean: task, labels, colour, threshold. From the model and its manifest."""

from dataclasses import dataclass, replace

import numpy as np

from esp32_deploy.compile.arithmetic import (
    FINEST_LOGITS,
    PROBABILITY_SCALE,
    PROBABILITY_ZERO_POINT,
    SoftmaxScaling,
    softmax_scaling,
)
from esp32_deploy.compile.graph import Graph, Tensor
from esp32_deploy.errors import DeployError
from esp32_deploy.manifest import Manifest
from esp32_deploy.words import COLOUR_CHANNELS, DEFAULT_THRESHOLDS, Decode, Task, colour_of, least_score

# "peaks" is only for networks that were trained to share an object among neighbouring cells. A manifest states that.
DEFAULT_DECODE: Decode = "fuse"
# For a model without this fact the centre of the frame is used, because it is not distorted and has no border.
UNKNOWN_RESIZE = "crop"
# Allowed difference between the model's int8 input for pixel p and p - 128.
PIXEL_TOLERANCE = 1


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

    @property
    def least_score(self) -> int:
        """The threshold in 256ths."""
        return least_score(self.threshold)

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
    """The meaning of a graph that `servable.check_ends` accepted. Raises MeaningError if the two do not fit."""
    height, width, channels = input_shape = image_shape(graph.inputs[0])
    if height != width or channels not in COLOUR_CHANNELS.values():
        raise MeaningError(
            f"The model takes images of {width} x {height} px and {channels} channels. Frames are made square and have "
            "1 or 3 channels. Train a model with a square input and 1 or 3 channels."
        )
    _check_pixels(graph.inputs[0])
    rows, columns, outputs = output_shape = image_shape(graph.outputs[0])
    task: Task = "detection" if rows * columns > 1 else "classification"
    if manifest.task not in (None, task):
        raise MeaningError(
            f"The manifest says {manifest.task}, but the model outputs {rows} x {columns} cells. Check "
            "whether the manifest belongs to another model."
        )
    if task == "detection" and (width % columns or height // rows != width // columns):
        raise MeaningError(
            f"The model's grid of {columns} x {rows} cells does not divide {width} x {height} px evenly."
        )
    colour = colour_of(channels)
    if manifest.colour not in (None, colour):
        raise MeaningError(f"The manifest says {manifest.colour}, but the model takes {channels} channels.")
    return Meaning(
        task=task,
        labels=_labels(manifest, outputs - (1 if task == "detection" else 0)),
        colour=colour,
        resize=manifest.resize or UNKNOWN_RESIZE,
        threshold=DEFAULT_THRESHOLDS[task] if manifest.threshold is None else manifest.threshold,
        decode=(manifest.decode or DEFAULT_DECODE) if task == "detection" else None,
        softmax=_softmax(graph.outputs[0], task),
        input_shape=input_shape,
        output_shape=output_shape,
    )


def image_shape(tensor: Tensor) -> tuple[int, int, int]:
    """Height, width, channels of a tensor. Missing leading dimensions are 1."""
    *_, height, width, channels = (1, 1, 1, *tensor.shape[1:])
    return height, width, channels


def _labels(manifest: Manifest, count: int) -> tuple[str, ...]:
    if manifest.labels is None:
        raise MeaningError(
            f"The labels of the model's {count} classes are not known. Put labels.txt (one label per line) or "
            "deploy.json beside the model, or name the classes with --labels."
        )
    if len(manifest.labels) != count:
        raise MeaningError(
            f"There are {len(manifest.labels)} labels ({', '.join(manifest.labels)}), but the model has {count} "
            "classes. Every class needs one label. Background has none."
        )
    return manifest.labels


def _check_pixels(tensor: Tensor) -> None:
    """Raises MeaningError unless pixel p becomes int8 p - 128. Training may scale pixels to 0..1, -1..1 or 0..255."""
    pixels, scale, zero = np.arange(256), tensor.scales[0], tensor.zero_points[0]
    for scaled in (pixels / 255, pixels / 127.5 - 1, pixels):
        if np.abs(np.rint(scaled / scale) + zero - (pixels - 128)).max() <= PIXEL_TOLERANCE:
            return
    raise MeaningError(
        f"The model's input (scale {scale:.6g}, zero point {zero}) does not take pixels as int8 from -128 to 127. "
        "Train it on 0..1 or -1..1. Quantize it with images that range from black to white."
    )


def _softmax(tensor: Tensor, task: Task) -> SoftmaxScaling | None:
    scale, zero = tensor.scales[0], tensor.zero_points[0]
    if (scale, zero) == (PROBABILITY_SCALE, PROBABILITY_ZERO_POINT):
        return None
    if task == "detection" or scale < FINEST_LOGITS:
        raise MeaningError(
            f"The model's output (scale {scale:.6g}, zero point {zero}) is not a probability. Export the model with a "
            "softmax at its end (int8, scale 1/256, zero point -128)."
        )
    return softmax_scaling(scale, 1.0)
