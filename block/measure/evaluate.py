"""Metrics in numpy, the same for every runtime."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from block.errors import BlockError

# one step of an int8 softmax is 1/256: half of it is the least that any runtime is held to have meant
PROBABILITY_FLOOR = 1 / 512
BATCH_IMAGES = 64
# float32 runtimes differ by rounding, 5e-6 or so; a mistaken layout by tenths
CONVERSION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ClassScore:
    """How one class was recognised; a ratio without a denominator is 0."""

    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class Scores:
    """What one runtime scored on one split: loss in nats, `confusion` rows are true classes, columns predictions."""

    accuracy: float
    loss: float
    per_class: dict[str, ClassScore]
    confusion: list[list[int]]

    @property
    def images(self) -> int:
        """How many images were scored."""
        return sum(map(sum, self.confusion))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return asdict(self)


def predict_all(predict: Callable[[np.ndarray], np.ndarray], features: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes) for memory-mapped features (N, H, W, C), read a batch at a time."""
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
    """Mean -log of the true class, probabilities clipped at 1/512 and renormalised: int8 and float compare fairly."""
    clipped = np.maximum(probabilities.astype(np.float64), PROBABILITY_FLOOR)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return float(-np.log(clipped[np.arange(len(labels)), labels]).mean())


def check_conversion(before: np.ndarray, after: np.ndarray, what: str) -> None:
    """Raises BlockError when both sides of a float32 conversion do not compute the same; `what` names the two."""
    difference = float(np.abs(before - after).max())
    if difference > CONVERSION_TOLERANCE:
        raise BlockError(
            f"{what} differ by {difference:.4f} in a probability: the conversion went wrong. Please report this with "
            "your settings."
        )


def ratios(hits: float, named: float, there: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of hits among what was named and what is there; 0 where nothing is."""
    precision = float(hits / named) if named else 0.0
    recall = float(hits / there) if there else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of images, or of a grid's cells, for which two runtimes name the same class."""
    return float((one.argmax(axis=-1) == other.argmax(axis=-1)).mean())


def _class_score(confusion: np.ndarray, index: int) -> ClassScore:
    hits, named, images = confusion[index, index], confusion[:, index].sum(), confusion[index].sum()
    return ClassScore(*ratios(hits, named, images), int(images))
