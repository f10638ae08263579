"""The fingerprint of images and labels, by which a run recognises the data that it was trained on."""

import hashlib
from collections.abc import Mapping

import numpy as np

ROWS_PER_STEP = 256


def fingerprint(splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """SHA-256 in hexadecimal of the images (N, H, W, C) float32 and the labels (N,) of each split."""
    digest = hashlib.sha256()
    for name, (features, labels) in splits.items():
        digest.update(f"{name} {features.shape}".encode())
        for start in range(0, len(features), ROWS_PER_STEP):
            digest.update(np.ascontiguousarray(features[start : start + ROWS_PER_STEP]).data)
        for label in labels:
            # a detector's label is an array of boxes
            digest.update(np.ascontiguousarray(label, "<i8").tobytes() + b";")
    return digest.hexdigest()
