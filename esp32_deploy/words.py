"""Names that training and board share: tasks, decoders and colours; thresholds, and the unit of scores."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from esp32_deploy.errors import DeployError

Task = Literal["classification", "detection"]
Decode = Literal["peaks", "fuse"]
TASKS: tuple[Task, ...] = get_args(Task)
DECODES: tuple[Decode, ...] = get_args(Decode)
COLOUR_CHANNELS = {"rgb": 3, "grayscale": 1}

DEFAULT_THRESHOLDS: dict[Task, float] = {"classification": 0.6, "detection": 0.5}
"""The default confidence threshold. Below it the answer is "not sure", or there is no object."""
SCORE_STEPS = 256
"""Probabilities are in 256ths: the steps of an int8 softmax."""


@dataclass(frozen=True)
class Figure:
    """One figure of a model's quality: its field in metrics.json, its title and its format for a person."""

    name: str
    title: str
    form: str
    is_for_boards: bool = True
    """Whether deploy.json and the library's README contain it too."""

    def text(self, value: float) -> str:
        """The value as a person reads it."""
        return format(value, self.form)


FIGURES: dict[Task, tuple[Figure, ...]] = {
    "classification": (Figure("accuracy", "accuracy", ".1%"), Figure("loss", "loss", ".4f")),
    "detection": (
        Figure("f1", "F1", ".3f"),
        Figure("precision", "precision", ".3f"),
        Figure("recall", "recall", ".3f"),
        Figure("ei_f1", "Edge Impulse's F1", ".3f", is_for_boards=False),
        Figure("count_error", "counting error", ".2f", is_for_boards=False),
    ),
}
"""The figures of each task. The first one decides which model is better."""


class ColourError(DeployError):
    """The images have a number of channels that cameras do not deliver."""


def colour_of(channels: int) -> str:
    """The colour name for a number of channels: rgb (3) or grayscale (1). Raises ColourError for other numbers."""
    for name, count in COLOUR_CHANNELS.items():
        if count == channels:
            return name
    raise ColourError(f"The images have {channels} channels. 1 (grayscale) or 3 (rgb) are expected.")


def least_score(threshold: float) -> int:
    """The smallest number of 256ths that reaches a threshold. At least 1, so that an empty cell never counts."""
    return max(1, math.ceil(threshold * SCORE_STEPS))
