"""Chooses where a detector decides: shifts of its object logits with which 0.5 is the best confidence threshold.

Shifting an object's logit by s multiplies its odds against background by exp(s). What had the probability t, and
background the rest, then has 0.5 with s = log((1 - t) / t). Where several classes compete in a cell this holds only
nearly, so every candidate is decoded after its shift.
"""

from collections.abc import Sequence

import numpy as np

from block.measure.decode import Detection, decode
from block.measure.detections import match
from block.measure.evaluate import ratios, standard_error
from esp32_deploy.words import DEFAULT_THRESHOLDS, Decode

THRESHOLD = DEFAULT_THRESHOLDS["detection"]
# log-odds: thresholds from 0.01 to 0.99 are tried, in small steps around 0.5
_HALF = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 3.8, 4.6)
SHIFTS = tuple(sorted({*_HALF, *(-shift for shift in _HALF)}, reverse=True))
# as many validation images are enough to choose with
MOST_IMAGES = 400
# with fewer objects on the validation images a class takes the shift of all classes
LEAST_OBJECTS = 30


def choose_shifts(grids: np.ndarray, boxes: Sequence[np.ndarray], size: int, how: Decode) -> tuple[float, ...]:
    """The shift of each class's logits, from validation grids (N, H, W, 1 + classes) and boxes (n, 5) of each image.

    One shift is chosen for all classes first, then one for each class with enough objects.
    """
    rows = np.unique(np.linspace(0, len(grids) - 1, min(MOST_IMAGES, len(grids))).round().astype(int))
    grids, boxes = grids[rows], [boxes[row] for row in rows]
    classes = grids.shape[3] - 1
    # by shift, then by image
    found = [_decoded(grids, shift, size, how) for shift in SHIFTS]
    common = _choose(found, boxes, range(classes), 0.0, how)
    counts = np.bincount(np.concatenate([image[:, 0] for image in boxes]), minlength=classes)
    if classes == 1:
        return (common,)
    return tuple(
        _choose(found, boxes, (label,), common, how) if counts[label] >= LEAST_OBJECTS else common
        for label in range(classes)
    )


def shifted(grids: np.ndarray, shifts: Sequence[float]) -> np.ndarray:
    """Grids of probabilities (N, H, W, 1 + classes) as they are after a shift of each class's logits."""
    odds = grids.astype(np.float64)
    odds[..., 1:] *= np.exp(shifts)
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def _decoded(grids: np.ndarray, shift: float, size: int, how: Decode) -> list[list[Detection]]:
    cell_px = size // grids.shape[1]
    return [decode(grid, THRESHOLD, cell_px, how) for grid in shifted(grids, [shift] * (grids.shape[3] - 1))]


def _choose(
    found: Sequence[Sequence[Sequence[Detection]]],
    boxes: Sequence[np.ndarray],
    labels: Sequence[int],
    preferred: float,
    how: Decode,
) -> float:
    """The shift with which the classes `labels` are found best.

    "fuse" trains for a threshold of 0.5, so the shift nearest to the preferred one is taken whose F1 is within one
    standard error of the highest: few objects do not tell more. "peaks" takes the highest.
    """
    truths = [image[np.isin(image[:, 0], labels)] for image in boxes]
    objects = sum(map(len, truths))
    f1 = np.array([_f1([[one for one in image if one.label in labels] for image in its], truths) for its in found])
    # a single lucky shift is no reason: each F1 is the mean of its own and its neighbours'
    smooth = np.convolve(np.pad(f1, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    highest = float(smooth.max())
    error = standard_error(highest, objects) if how == "fuse" else 1e-9
    likely = [shift for shift, value in zip(SHIFTS, smooth, strict=True) if value >= highest - error]
    return min(likely, key=lambda shift: abs(shift - preferred))


def _f1(found: Sequence[Sequence[Detection]], truths: Sequence[np.ndarray]) -> float:
    hits = sum(int((match(*pair).truth_of >= 0).sum()) for pair in zip(found, truths, strict=True))
    return ratios(hits, sum(map(len, found)), sum(map(len, truths)))[2]
