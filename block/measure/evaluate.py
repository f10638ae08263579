"""Classification metrics in numpy, the same for every runtime."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from block.errors import BlockError

# half a step of an int8 softmax, whose steps are 1/256: lower probabilities count as this
PROBABILITY_FLOOR = 1 / 512
BATCH_IMAGES = 64
LEAST_VARIANCE = 0.01
# rounding makes float32 runtimes differ by about 5e-6; a wrong memory layout makes them differ by tenths
CONVERSION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class. A ratio with denominator 0 is 0."""

    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class Scores:
    """Scores of one runtime on one split. `loss` is in nats.

    Rows of `confusion` are true classes, and columns are predicted classes.
    """

    accuracy: float
    loss: float
    per_class: dict[str, ClassScore]
    confusion: list[list[int]]

    @property
    def images(self) -> int:
        """Number of scored images."""
        return sum(map(sum, self.confusion))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return asdict(self)


def predict_all(predict: Callable[[np.ndarray], np.ndarray], features: np.ndarray) -> np.ndarray:
    """Predicts memory-mapped features (N, H, W, C) in batches. Returns probabilities (N, classes) or grids."""
    batches = range(0, len(features), BATCH_IMAGES)
    return np.concatenate([predict(np.array(features[start : start + BATCH_IMAGES])) for start in batches])


def evaluate(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Scores:
    """Scores probabilities (N, classes) against class indices (N,)."""
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (labels, predicted), 1)
    return Scores(
        accuracy=float((predicted == labels).mean()),
        loss=cross_entropy(probabilities, labels),
        per_class={name: _class_score(confusion, index) for index, name in enumerate(classes)},
        confusion=confusion.tolist(),
    )


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log(probability of the true class), in nats.

    Probabilities below 1/512 count as 1/512, and all are normalised again, so that int8 and float32 compare fairly.
    """
    clipped = np.maximum(probabilities.astype(np.float64), PROBABILITY_FLOOR)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return float(-np.log(clipped[np.arange(len(labels)), labels]).mean())


def check_conversion(before: np.ndarray, after: np.ndarray, what: str) -> None:
    """Raises BlockError if outputs before and after a float32 conversion differ. `what` names the two networks."""
    difference = float(np.abs(before - after).max())
    if difference > CONVERSION_TOLERANCE:
        raise BlockError(
            f"{what} differ by {difference:.4f} in a probability. The conversion failed. Please report this with your "
            "settings."
        )


def ratios(hits: float, predicted: float, true: float) -> tuple[float, float, float]:
    """Precision, recall and F1 from the numbers of hits, predicted items and true items. Without items a ratio is 0."""
    precision = float(hits / predicted) if predicted else 0.0
    recall = float(hits / true) if true else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0


def standard_error(share: float, items: int) -> float:
    """How far a share of `items`, such as F1, lies from its true value by chance: sqrt(p (1 - p) / n). 0 without items.

    The variance p (1 - p) counts as at least 0.01, because a share of 0 or 1 of few items is uncertain too.
    """
    return math.sqrt(max(share * (1 - share), LEAST_VARIANCE) / items) if items else 0.0


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of images, or of grid cells, for which two runtimes predict the same class."""
    return float((one.argmax(axis=-1) == other.argmax(axis=-1)).mean())


def _class_score(confusion: np.ndarray, index: int) -> ClassScore:
    hits, predicted, images = confusion[index, index], confusion[:, index].sum(), confusion[index].sum()
    return ClassScore(*ratios(hits, predicted, images), int(images))
