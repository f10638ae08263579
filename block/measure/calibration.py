"""How honest a classifier's confidence is, and the temperature that makes it more honest.

A network whose logits are divided by a temperature names the same classes with another confidence (Guo et al. 2017, "On
Calibration of Modern Neural Networks").
"""

import numpy as np

from block.facts import Calibration

BINS = 10
# 1 is exactly in the middle
TEMPERATURES = tuple(float(2.0**power) for power in np.linspace(-2, 2, 81))
FOLDS = 5


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean distance between confidence and accuracy over ten bins of confidence, weighted by their images.

    `probabilities` (N, classes), `labels` (N,) class indices; Naeini et al. 2015.
    """
    confidences = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, weights=confidences - is_right, minlength=BINS)
    return float(np.abs(gaps).sum() / max(1, counts.sum()))


def calibrate(logits: np.ndarray, labels: np.ndarray, seed: int) -> Calibration:
    """The temperature of the lowest loss on the validation images, and what it changes.

    `logits` (N, classes), `labels` (N,). The temperature nearest to 1 is taken whose loss is within one standard error
    of the lowest: few images cannot tell the difference. It stays 1 where the cross-validated error would not fall.
    """
    losses = _losses(logits, labels)
    chosen = _choose(losses)
    folds = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
    after = np.empty(logits.shape)
    for fold in range(FOLDS):
        held_out = folds == fold
        others = losses[:, ~held_out] if held_out.sum() < len(labels) else losses
        after[held_out] = softmax(logits[held_out] / _choose(others))
    before, later = (expected_calibration_error(answers, labels) for answers in (softmax(logits), after))
    is_better = chosen != 1 and later < before
    return Calibration(
        temperature=chosen if is_better else 1.0,
        error_before=before,
        error_after=later if is_better else before,
        images=len(labels),
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (..., classes) in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The cross-entropy of every image at every temperature, (temperatures, N).

    The probability of the right class is (N + 1) / (N + classes) in place of 1, as if each class had been seen once
    more (Platt 1999, "Probabilistic Outputs for Support Vector Machines"). Otherwise a network that makes no mistake on
    few images would be made as confident as possible.
    """
    count, classes = logits.shape
    targets = np.full(logits.shape, 1 / (count + classes))
    targets[np.arange(count), labels] += count / (count + classes)
    return np.stack([-(targets * np.log(softmax(logits / value) + 1e-12)).sum(axis=1) for value in TEMPERATURES])


def _choose(losses: np.ndarray) -> float:
    best = int(losses.mean(axis=1).argmin())
    excess = losses - losses[best]
    errors = excess.std(axis=1) / np.sqrt(losses.shape[1])
    likely = [value for value, near in zip(TEMPERATURES, excess.mean(axis=1) <= errors, strict=True) if near]
    return min(likely, key=lambda value: abs(np.log(value)))
