"""What a run writes down beside its models: metrics.json, deploy.json, history.csv, predictions.csv, labels.txt."""

import csv
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import Outputs, replacing
from block.data.reading import BlockData, Split
from block.measure.evaluate import Scores, agreement
from block.measure.footprint import Footprint
from block.settings import Settings

METRICS_VERSION = 1
DEPLOY_VERSION = 1
# below this probability a board says "not sure"; Studio's own default for classifiers
NOT_SURE_THRESHOLD = 0.6
PACKAGES = (
    "esp32-vision-block",
    "torch",
    "torchvision",
    "onnx",
    "onnx2tf",
    "onnxruntime",
    "onnxsim",
    "tensorflow",
    "tensorflow-cpu",
    "tflite-micro",
    "numpy",
    "pillow",
    "matplotlib",
)

# Linux counts a process's peak memory in KB, macOS in bytes
KILOBYTES_PER_MB = 1024**2 if sys.platform == "darwin" else 1024

# what was learned, and what the board makes of it
FLOAT32, INT8 = "torch", "tflm_int8"

Probabilities = Mapping[str, Mapping[str, np.ndarray]]
"""Probabilities (N, classes) by split, then by runtime."""


def write_labels(path: Path, classes: Sequence[str]) -> None:
    """One class a line, in the order of the model's outputs."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def write_history(path: Path, epochs: Sequence[Any]) -> None:
    """One row an epoch (block.model.training.Epoch), the fields as columns."""
    names = [field.name for field in fields(epochs[0])]
    _write_csv(path, names, ([asdict(epoch)[name] for name in names] for epoch in epochs))


def write_predictions(path: Path, data: BlockData, probabilities: Probabilities) -> None:
    """One row an image of the validation and holdout splits: truth, and what the int8 and float32 models said."""
    columns = ["split", "name", "label", "int8_label", "int8_confidence", "float32_label", "float32_confidence"]
    rows = (
        row
        for split, runtimes in probabilities.items()
        for row in _prediction_rows(split, data.splits[split], data.classes, runtimes)
    )
    _write_csv(path, columns, rows)


def _prediction_rows(
    split: str, examples: Split, classes: Sequence[str], runtimes: Mapping[str, np.ndarray]
) -> Iterable[list[Any]]:
    for row, (name, label) in enumerate(zip(examples.sample_names, examples.labels, strict=True)):
        said: list[Any] = []
        for runtime in (INT8, FLOAT32):
            image = runtimes[runtime][row]
            said += [classes[int(image.argmax())], f"{image.max():.4f}"]
        yield [split, name, classes[int(label)], *said]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def metrics(
    settings: Settings,
    data: BlockData,
    facts: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, Scores]],
    probabilities: Probabilities,
    footprint: Footprint,
    outputs: Outputs,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Everything that is known about a run, as metrics.json holds it; times stand apart under "timings".

    `facts` are those noted with the weights: "network" and "training".
    """
    return {
        "version": METRICS_VERSION,
        "task": "classification",
        "classes": list(data.classes),
        "input": {"size": data.size, "channels": data.channels, "scaling": "0..1"},
        "data": {
            split: {"images": len(examples), "per_class": data.class_counts(split)}
            for split, examples in data.splits.items()
        },
        "network": facts["network"],
        "training": facts["training"],
        "scores": {
            split: {runtime: score.as_dict() for runtime, score in by_runtime.items()}
            for split, by_runtime in scores.items()
        },
        "float32_against_int8": {
            split: {
                "agreement": agreement(runtimes[FLOAT32], runtimes[INT8]),
                "accuracy_drop": scores[split][FLOAT32].accuracy - scores[split][INT8].accuracy,
            }
            for split, runtimes in probabilities.items()
        },
        "footprint": footprint.as_dict(),
        "files_bytes": {
            path.name: path.stat().st_size for path in (outputs.onnx, outputs.tflite_float32, outputs.tflite_int8)
        },
        "settings": settings.as_dict(),
        "package_versions": _package_versions(),
        "timings": {
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTES_PER_MB, 1),
        },
    }


def _package_versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def deploy_manifest(
    settings: Settings, data: BlockData, scores: Mapping[str, Mapping[str, Scores]], footprint: Footprint
) -> dict[str, Any]:
    """What esp32_deploy needs beside the .tflite: task, labels, colour, resize mode, threshold, figures."""
    judged = "holdout" if "holdout" in scores else "validation"
    int8 = scores[judged][INT8]
    return {
        "version": DEPLOY_VERSION,
        "name": settings.library_name,
        "task": "classification",
        "labels": list(data.classes),
        "colour": "grayscale" if data.channels == 1 else "rgb",
        # how Studio's images were made square is not known to a block
        "resize": data.preparation.get("resize_mode"),
        "threshold": NOT_SURE_THRESHOLD,
        "figures": {
            "split": judged,
            "images": int8.images,
            "accuracy": int8.accuracy,
            "loss": int8.loss,
            "macs": footprint.macs,
            "tflm_arena_bytes": footprint.tflm_arena_bytes,
        },
    }
