"""The parts of the report that differ between classification and detection."""

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
# value of the page's filter for photos without objects
NO_CLASS = "none"
# half the width of a 95% confidence interval, in standard deviations
DEVIATIONS = 1.96


class TaskView(ABC):
    """The parts of the page that depend on the task. `split` is the split that measures the model."""

    task: Task
    thing: str
    """What is counted per class: photos or objects."""
    count_field: str
    """The field of a class's scores with the number of its photos or objects."""
    class_columns: tuple[Figure, ...] = ()
    """Figures per class in addition to precision, recall and F1."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of the task. The first one is the main figure."""
        return FIGURES[self.task]

    def drop_text(self, drop: float) -> str:
        """Names the main figure and by how much it drops."""
        return f"{self.figures[0].title} by {drop:.3f}"

    @abstractmethod
    def threshold(self, metrics: Metrics) -> float:
        """The confidence threshold on the board."""

    @abstractmethod
    def verdict(self, metrics: Metrics, split: str) -> str:
        """The main figure of the int8 model, for the first line of the page."""

    def interval(self, metrics: Metrics, split: str) -> tuple[float, float] | None:  # noqa: ARG002
        """The 95% confidence interval of the accuracy, each end from 0 to 1. None for detection."""
        return None

    @abstractmethod
    def answers(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """The confidence of each int8 answer (N,), and 1 for each correct answer or else 0 (N,)."""

    @abstractmethod
    def confusion_names(self, classes: Sequence[str]) -> tuple[list[str], list[str]]:
        """The names of the confusion matrix's rows, and their values in the page's filter."""

    def sure(self, rows: Rows, split: str, threshold: float) -> dict[str, int] | None:  # noqa: ARG002
        """Numbers of photos: all, those that reach the threshold, the correct ones of these. None for detection."""
        return None

    def more_charts(self, metrics: Metrics, threshold: float) -> dict[str, str]:  # noqa: ARG002
        """Charts that only this task has: SVG by name."""
        return {}


class ClassifierView(TaskView):
    """Classification: one class per photo."""

    task: Task = "classification"
    thing = "photo"
    count_field = "images"

    def drop_text(self, drop: float) -> str:
        return f"accuracy by {100 * drop:.1f} percentage points"

    def threshold(self, metrics: Metrics) -> float:  # noqa: ARG002
        return DEFAULT_THRESHOLDS[self.task]

    def verdict(self, metrics: Metrics, split: str) -> str:
        accuracy = self.figures[0].text(metrics["scores"][split][INT8]["accuracy"])
        return f"Accuracy {accuracy} on {metrics['data'][split]['images']} {SPLIT_WORDS[split]} photos"

    def interval(self, metrics: Metrics, split: str) -> tuple[float, float] | None:
        """The Wilson score interval."""
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
    """Detection: objects on a grid of cells."""

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
