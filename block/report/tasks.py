"""What the page shows of a classifier and of a detector, where the two differ."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from block.report import charts, gallery
from block.words import INT8, SPLIT_WORDS
from esp32_deploy.words import DEFAULT_THRESHOLDS, FIGURES, Figure, Task

Metrics = Mapping[str, Any]
Rows = Sequence[gallery.Row]
"""predictions.csv."""

BACKGROUND = "background"
# how the filter of the page calls photos without any object
NO_CLASS = "none"
# a share that was counted on a sample lies within this many standard deviations of the true one, 19 times out of 20
DEVIATIONS = 1.96


class TaskView(ABC):
    """The parts of the page that depend on the task; `split` is the one that judges the model."""

    task: Task
    thing: str
    """What is counted by class: photos or objects."""
    count_field: str
    """The field of a class that holds how many there are."""
    class_columns: tuple[Figure, ...] = ()
    """Figures of a class beside precision, recall and F1."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of the task, the main one first."""
        return FIGURES[self.task]

    def int8_loss(self, drop: float) -> str:
        """How much of the main figure int8 loses, in words."""
        return f"{drop:.3f} of {self.figures[0].title}"

    @abstractmethod
    def threshold(self, metrics: Metrics) -> float:
        """The confidence threshold on the board."""

    @abstractmethod
    def verdict(self, metrics: Metrics, split: str) -> str:
        """How good the int8 model is, for the first line of the page."""

    def interval(self, metrics: Metrics, split: str) -> tuple[float, float] | None:  # noqa: ARG002
        """Where the accuracy on all photos of this kind lies; None where the task has no such figure."""
        return None

    @abstractmethod
    def answers(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """The confidence of each int8 answer (N,), and whether it was right (N,)."""

    @abstractmethod
    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Names of the rows of the confusion matrix, and the keys by which the filter of the page knows them."""

    def sure(self, rows: Rows, split: str, threshold: float) -> dict[str, int] | None:  # noqa: ARG002
        """How many photos are answered with confidence, and rightly; None where the task has no such answer."""
        return None

    def more_charts(self, metrics: Metrics, threshold: float) -> dict[str, str]:  # noqa: ARG002
        """Charts that only this task has, by name."""
        return {}


class ClassifierView(TaskView):
    """One class a photo."""

    task: Task = "classification"
    thing = "photo"
    count_field = "images"

    def int8_loss(self, drop: float) -> str:
        return f"{drop:.1%} accuracy"

    def threshold(self, metrics: Metrics) -> float:  # noqa: ARG002
        return DEFAULT_THRESHOLDS[self.task]

    def verdict(self, metrics: Metrics, split: str) -> str:
        accuracy = self.figures[0].text(metrics["scores"][split][INT8]["accuracy"])
        return f"{accuracy} of {metrics['data'][split]['images']} {SPLIT_WORDS[split]} photos right"

    def interval(self, metrics: Metrics, split: str) -> tuple[float, float] | None:
        """Wilson's interval."""
        count, share = metrics["data"][split]["images"], metrics["scores"][split][INT8]["accuracy"]
        spread = DEVIATIONS**2 / count
        middle = share + spread / 2
        reach = DEVIATIONS * math.sqrt(share * (1 - share) / count + spread / (4 * count))
        return (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)

    def answers(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        return _columns([(float(row["int8_confidence"]), row["int8_label"] == row["label"]) for row in rows])

    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        return list(classes), [str(index) for index in range(len(classes))]

    def sure(self, rows: Rows, split: str, threshold: float) -> dict[str, int] | None:
        judged = [row for row in rows if row["split"] == split]
        sure = [row for row in judged if float(row["int8_confidence"]) >= threshold]
        return {
            "photos": len(judged),
            "sure": len(sure),
            "right": sum(row["int8_label"] == row["label"] for row in sure),
        }


class DetectorView(TaskView):
    """Objects on a grid."""

    task: Task = "detection"
    thing = "object"
    count_field = "objects"
    class_columns = tuple(figure for figure in FIGURES["detection"] if figure.name == "count_error")

    def threshold(self, metrics: Metrics) -> float:
        return float(metrics["detection"]["threshold"])

    def verdict(self, metrics: Metrics, split: str) -> str:
        f1 = self.figures[0].text(metrics["scores"][split][INT8]["f1"])
        return f"F1 {f1} on {metrics['data'][split]['images']} {SPLIT_WORDS[split]} photos"

    def answers(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        return _columns([(float(row["score"]), row["matched"] == "1") for row in rows if row["kind"] == "int8"])

    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        return [BACKGROUND, *classes], [NO_CLASS, *(str(index) for index in range(len(classes)))]

    def more_charts(self, metrics: Metrics, threshold: float) -> dict[str, str]:
        return {"threshold": charts.precision_recall(metrics["detection"]["curve"], threshold)}


VIEWS: dict[Task, TaskView] = {view.task: view for view in (ClassifierView(), DetectorView())}


def _columns(answers: Sequence[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    confidences, is_right = np.array(answers, dtype=float).reshape(-1, 2).T
    return confidences, is_right
