"""What a model's input and outputs mean to a board: the model's own facts, and what its manifest adds to them."""

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

# peaks asks for a network that shares each object among cells, which only a manifest can tell
DEFAULT_DECODE: Decode = "fuse"
# a centre cut out of the frame is neither squeezed nor framed: right enough for images whose making is not known
UNKNOWN_RESIZE = "crop"
# of a model's input: pixel p is int8 p - 128, give or take this much
PIXEL_TOLERANCE = 1


class MeaningError(DeployError):
    """A model that a camera cannot feed, or a manifest that does not fit it."""


@dataclass(frozen=True)
class Meaning:
    """A model as a board must understand it; shapes are height, width, channels."""

    task: Task
    labels: tuple[str, ...]
    colour: str
    resize: str
    threshold: float
    decode: Decode | None
    """Of a detector."""
    softmax: SoftmaxScaling | None
    """What makes probabilities of a classifier's logits; None where the model gives probabilities."""
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]

    @property
    def least_score(self) -> int:
        """The threshold in 256ths."""
        return least_score(self.threshold)

    def completed(self, manifest: Manifest) -> Manifest:
        """The manifest with what follows from the model; how images were made square stays unknown where it is."""
        return replace(
            manifest,
            task=self.task,
            labels=self.labels,
            colour=self.colour,
            threshold=self.threshold,
            decode=self.decode,
        )


def of(graph: Graph, manifest: Manifest) -> Meaning:
    """The meaning of a graph that `servable.check_ends` has passed; raises MeaningError where the two disagree."""
    height, width, channels = input_shape = image_shape(graph.inputs[0])
    if height != width or channels not in COLOUR_CHANNELS.values():
        raise MeaningError(
            f"The model takes images of {width} x {height} px and {channels} channels; a camera's frames become square "
            "and have 1 or 3."
        )
    _check_pixels(graph.inputs[0])
    rows, columns, outputs = output_shape = image_shape(graph.outputs[0])
    task: Task = "detection" if rows * columns > 1 else "classification"
    if manifest.task not in (None, task):
        raise MeaningError(
            f"The manifest says {manifest.task}, but the model gives {rows} x {columns} cells: is it another model's?"
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
    """Height, width, channels; ones in front where a tensor has fewer dimensions."""
    *_, height, width, channels = (1, 1, 1, *tensor.shape[1:])
    return height, width, channels


def _labels(manifest: Manifest, count: int) -> tuple[str, ...]:
    if manifest.labels is None:
        raise MeaningError(
            f"What the model's {count} outputs mean is not known: put labels.txt (one label a line) or deploy.json "
            "beside the model, or name them with --labels."
        )
    if len(manifest.labels) != count:
        raise MeaningError(
            f"{len(manifest.labels)} labels ({', '.join(manifest.labels)}) for a model of {count} classes: background "
            "is not a label, and every other class needs one."
        )
    return manifest.labels


def _check_pixels(tensor: Tensor) -> None:
    """That pixel p of 0..255 is int8 p - 128, however the training scaled it: 0..1, -1..1 or 0..255."""
    pixels, scale, zero = np.arange(256), tensor.scales[0], tensor.zero_points[0]
    for scaled in (pixels / 255, pixels / 127.5 - 1, pixels):
        if np.abs(np.rint(scaled / scale) + zero - (pixels - 128)).max() <= PIXEL_TOLERANCE:
            return
    raise MeaningError(
        f"The model's input (scale {scale:.6g}, zero point {zero}) does not take pixels as int8 from -128 to 127: "
        "train it on 0..1 or -1..1, and quantize it with images that reach from black to white."
    )


def _softmax(tensor: Tensor, task: Task) -> SoftmaxScaling | None:
    scale, zero = tensor.scales[0], tensor.zero_points[0]
    if (scale, zero) == (PROBABILITY_SCALE, PROBABILITY_ZERO_POINT):
        return None
    if task == "detection" or scale < FINEST_LOGITS:
        raise MeaningError(
            f"The model's output (scale {scale:.6g}, zero point {zero}) is no probability: export it with a softmax at "
            "its end (int8, scale 1/256, zero point -128)."
        )
    return softmax_scaling(scale, 1.0)
