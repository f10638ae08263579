"""Detection metrics: scores the grids of a detector against true boxes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from block.facts import CurvePoint
from block.measure.decode import Detection, decode
from block.measure.evaluate import ratios
from esp32_deploy.words import Decode

# the confidence thresholds that are tried on the validation split
THRESHOLDS = tuple(step / 40 for step in range(4, 39))
# Edge Impulse's scoring: decoder "fuse" at threshold 0.5; a hit lies within a fifth of the image's side
EI_THRESHOLD, EI_DISTANCE = 0.5, 0.2
EI_DECODE: Decode = "fuse"


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class. A ratio with denominator 0 is 0. `count_error` is the mean error of a photo's count."""

    precision: float
    recall: float
    f1: float
    objects: int
    predicted: int
    found: int
    count_error: float


@dataclass(frozen=True)
class DetectionScores:
    """Scores of one runtime on one split.

    `precision`, `recall` and `f1` give all objects the same weight. `count_error` is the mean over the classes. Rows of
    `confusion` are true classes, columns are predicted classes, and index 0 is background. `ei_f1` is F1 as Edge
    Impulse defines it.
    """

    f1: float
    precision: float
    recall: float
    ei_f1: float
    count_error: float
    per_class: dict[str, ClassScore]
    confusion: list[list[int]]
    images: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return asdict(self)


@dataclass(frozen=True)
class Match:
    """Pairs of detections and true boxes of a photo, as indices. -1 means that there is no partner."""

    truth_of: np.ndarray  # (detections,)
    detection_of: np.ndarray  # (truths,)


def match(detections: Sequence[Detection], boxes: np.ndarray) -> Match:
    """Pairs detections with true boxes (n, 5) of class, x, y, width, height in px.

    A pair has the same class, and the detection's centre lies in the box. Each is used once, the nearest pairs first.
    """
    labels, centers = _labels_and_centers(detections)
    return _pair(centers, boxes, labels[:, None] == boxes[None, :, 0])


def evaluate(
    grids: np.ndarray, boxes: Sequence[np.ndarray], classes: Sequence[str], size: int, threshold: float, how: Decode
) -> DetectionScores:
    """Scores grids (N, H, W, classes + 1) against each photo's boxes (n, 5). `size` is the input size in px."""
    cell_px = size // grids.shape[1]
    found = [decode(grid, threshold, cell_px, how) for grid in grids]
    confusion = np.zeros((len(classes) + 1, len(classes) + 1), dtype=int)
    errors = np.zeros(len(classes))
    for detections, truths in zip(found, boxes, strict=True):
        _count(confusion, detections, truths)
        true = np.bincount(truths[:, 0], minlength=len(classes))
        counted = np.bincount([one.label for one in detections], minlength=len(classes))
        errors += np.abs(true - counted)
    errors /= max(1, len(grids))
    hits, predicted, objects = np.diag(confusion)[1:], confusion[:, 1:].sum(axis=0), confusion[1:].sum(axis=1)
    precision, recall, f1 = ratios(hits.sum(), predicted.sum(), objects.sum())
    return DetectionScores(
        f1=f1,
        precision=precision,
        recall=recall,
        ei_f1=edge_impulse_f1(grids, boxes, size),
        count_error=float(errors.mean()),
        per_class={
            name: ClassScore(
                *ratios(hits[index], predicted[index], objects[index]),
                objects=int(objects[index]),
                predicted=int(predicted[index]),
                found=int(hits[index]),
                count_error=float(errors[index]),
            )
            for index, name in enumerate(classes)
        },
        confusion=confusion.tolist(),
        images=len(grids),
    )


def curve(
    grids: np.ndarray,
    boxes: Sequence[np.ndarray],
    size: int,
    how: Decode,
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[CurvePoint, ...]:
    """Precision, recall and F1 at each threshold. `thresholds` must be in rising order."""
    cell_px = size // grids.shape[1]
    objects = sum(map(len, boxes))
    # with "peaks" a higher threshold only removes objects; with "fuse" it also splits them
    peaks = [decode(grid, min(thresholds), cell_px, how) for grid in grids] if how == "peaks" else None
    points = []
    for threshold in thresholds:
        if peaks is None:
            found = [decode(grid, threshold, cell_px, how) for grid in grids]
        else:
            found = [[one for one in image if one.score >= threshold] for image in peaks]
        predicted = sum(map(len, found))
        hits = sum(int((match(*pair).truth_of >= 0).sum()) for pair in zip(found, boxes, strict=True))
        precision, recall, f1 = ratios(hits, predicted, objects)
        points.append(CurvePoint(threshold, precision, recall, f1))
    return tuple(points)


def best_threshold(curve: Sequence[CurvePoint]) -> float:
    """The threshold with the highest F1. Among equal ones it is the middle one, which tolerates small changes best."""
    highest = max(point.f1 for point in curve)
    best = [point.threshold for point in curve if point.f1 == highest]
    return best[len(best) // 2]


def edge_impulse_f1(grids: np.ndarray, boxes: Sequence[np.ndarray], size: int) -> float:
    """F1 as Edge Impulse computes it for FOMO, to compare with the value in Studio.

    A fused group of cells counts for the nearest object if their centres are at most a fifth of the image's side apart.
    Several groups may count for the same object. False positives are the upper triangle of the confusion matrix, and
    false negatives are the lower triangle. A wrong class is therefore only one of the two.
    """
    confusion = np.zeros((grids.shape[3], grids.shape[3]), dtype=int)
    cell_px = size // grids.shape[1]
    for grid, truths in zip(grids, boxes, strict=True):
        detections = decode(grid, EI_THRESHOLD, cell_px, EI_DECODE)
        labels, centers = _labels_and_centers(detections)
        distances = _distances(centers, truths)
        was_hit = np.zeros(len(truths), dtype=bool)
        for label, row in zip(labels, distances, strict=True):
            nearest = int(row.argmin()) if len(row) else -1
            if nearest >= 0 and row[nearest] <= EI_DISTANCE * size:
                was_hit[nearest] = True
                confusion[truths[nearest, 0] + 1, label + 1] += 1
            else:
                confusion[0, label + 1] += 1
        np.add.at(confusion, (truths[~was_hit, 0] + 1, 0), 1)
    hits = np.diag(confusion)[1:].sum()
    return ratios(hits, hits + np.triu(confusion, 1).sum(), hits + np.tril(confusion, -1).sum())[2]


def _count(confusion: np.ndarray, detections: Sequence[Detection], boxes: np.ndarray) -> None:
    """Adds a photo to the confusion matrix: first hits, then wrong classes, then false alarms and missed objects."""
    labels, centers = _labels_and_centers(detections)
    hit = match(detections, boxes)
    free_detections, free_truths = hit.truth_of < 0, hit.detection_of < 0
    confused = _pair(centers, boxes, free_detections[:, None] & free_truths[None, :])
    truth_of = np.maximum(hit.truth_of, confused.truth_of)
    for label, truth in zip(labels, truth_of, strict=True):
        confusion[0 if truth < 0 else boxes[truth, 0] + 1, label + 1] += 1
    missed = np.maximum(hit.detection_of, confused.detection_of) < 0
    np.add.at(confusion, (boxes[missed, 0] + 1, 0), 1)


def _pair(centers: np.ndarray, boxes: np.ndarray, allowed: np.ndarray) -> Match:
    """Pairs detections with boxes that contain their centres, nearest first. `allowed` is (detections, truths)."""
    x, y, (left, top, width, height) = centers[:, 0:1], centers[:, 1:2], boxes[:, 1:].T
    allowed = allowed & (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    distances = _distances(centers, boxes)
    truth_of, detection_of = np.full(len(centers), -1), np.full(len(boxes), -1)
    detections, truths = np.nonzero(allowed)
    for index in np.argsort(distances[allowed], kind="stable"):
        detection, truth = detections[index], truths[index]
        if truth_of[detection] < 0 and detection_of[truth] < 0:
            truth_of[detection], detection_of[truth] = truth, detection
    return Match(truth_of, detection_of)


def _distances(centers: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Distance from each detection's centre to each box's centre, (detections, truths) in px."""
    true_centers = boxes[:, 1:3] + boxes[:, 3:5] / 2
    return np.asarray(np.linalg.norm(centers[:, None] - true_centers[None], axis=2))


def _labels_and_centers(detections: Sequence[Detection]) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array([one.label for one in detections], dtype=int)
    centers = np.array([(one.center_x, one.center_y) for one in detections], dtype=int).reshape(-1, 2)
    return labels, centers
