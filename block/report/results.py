"""Writes the results of a run: metrics.json, deploy.json, history.csv, predictions.csv and labels.txt."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import Outputs
from block.data.reading import BlockData, Split
from block.facts import NetworkFacts, OperatingPoint, TrainingFacts
from block.measure.decode import Detection, decode
from block.measure.detections import match
from block.measure.evaluate import agreement
from block.measure.footprint import Footprint
from block.settings import Settings
from block.words import FLOAT32, INT8
from esp32_deploy.files import replacing
from esp32_deploy.manifest import Manifest
from esp32_deploy.words import FIGURES, colour_of

METRICS_VERSION = 2
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
    "ai-edge-litert",
    "numpy",
    "pillow",
    "matplotlib",
)

# Units of ru_maxrss per MB: Linux counts peak memory in KB, macOS in bytes.
RESOURCE_UNITS_PER_MB = 1024**2 if sys.platform == "darwin" else 1024

CLASS_COLUMNS = ("split", "name", "label", "int8_label", "int8_confidence", "float32_label", "float32_confidence")
BOX_COLUMNS = (
    "split",
    "name",
    "kind",
    "label",
    "score",
    "x",
    "y",
    "width",
    "height",
    "center_x",
    "center_y",
    "matched",
)
BOX_KINDS = {"int8": INT8, "float32": FLOAT32}

Probabilities = Mapping[str, Mapping[str, np.ndarray]]
"""By split, then by runtime: probabilities (N, classes), or grids of probabilities (N, H, W, 1 + classes)."""
SplitScores = Mapping[str, Mapping[str, Any]]
"""By split, then by runtime: evaluate.Scores or detections.DetectionScores."""


@dataclass(frozen=True)
class Judgement:
    """All inputs and results of a run."""

    settings: Settings
    data: BlockData
    network: NetworkFacts
    training: TrainingFacts
    operating: OperatingPoint
    scores: SplitScores
    probabilities: Probabilities
    footprint: Footprint


def write_labels(path: Path, classes: Sequence[str]) -> None:
    """Writes one class per line, in the order of the model's outputs."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def write_history(path: Path, epochs: Sequence[Any]) -> None:
    """Writes one row per epoch (block.model.training.Epoch). The fields are the columns."""
    names = [field.name for field in fields(epochs[0])]
    _write_csv(path, names, ([asdict(epoch)[name] for name in names] for epoch in epochs))


def write_predictions(path: Path, judgement: Judgement) -> None:
    """Writes the int8 and float32 predictions for the validation and test sets: one row per image, or one per box."""
    data = judgement.data
    detects = data.task == "detection"
    rows = (
        row
        for split, runtimes in judgement.probabilities.items()
        for row in (
            _box_rows(split, judgement, runtimes)
            if detects
            else _prediction_rows(split, data.splits[split], data.classes, runtimes)
        )
    )
    _write_csv(path, BOX_COLUMNS if detects else CLASS_COLUMNS, rows)


def _prediction_rows(
    split: str, examples: Split, classes: Sequence[str], runtimes: Mapping[str, np.ndarray]
) -> Iterable[list[Any]]:
    for row, (name, label) in enumerate(zip(examples.sample_names, examples.labels, strict=True)):
        predicted: list[Any] = []
        for runtime in (INT8, FLOAT32):
            image = runtimes[runtime][row]
            predicted += [classes[int(image.argmax())], f"{image.max():.4f}"]
        yield [split, name, classes[int(label)], *predicted]


def _box_rows(split: str, judgement: Judgement, runtimes: Mapping[str, np.ndarray]) -> Iterable[list[Any]]:
    """For each image: first the true boxes, then the detections of the int8 model, then those of the float32 model."""
    data = judgement.data
    examples = data.splits[split]
    for row, (name, boxes) in enumerate(zip(examples.sample_names, examples.labels, strict=True)):
        seen = {kind: decode_image(judgement, runtimes[runtime][row]) for kind, runtime in BOX_KINDS.items()}
        pairs = {kind: match(detections, boxes) for kind, detections in seen.items()}
        for (label, *edges), found in zip(boxes.tolist(), pairs["int8"].detection_of >= 0, strict=True):
            x, y, width, height = edges
            center = [x + width // 2, y + height // 2]
            yield [split, name, "truth", data.classes[label], "", *edges, *center, int(found)]
        for kind, detections in seen.items():
            for one, right in zip(detections, pairs[kind].truth_of >= 0, strict=True):
                box = [one.x, one.y, one.width, one.height, one.center_x, one.center_y]
                yield [split, name, kind, data.classes[one.label], f"{one.score:.4f}", *box, int(right)]


def decode_image(judgement: Judgement, grid: np.ndarray) -> list[Detection]:
    """The objects in one image's grid (H, W, 1 + classes), decoded as on the board."""
    return decode(grid, judgement.operating.threshold, judgement.data.size // len(grid), judgement.settings.decode)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def metrics(judgement: Judgement, outputs: Outputs, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The content of metrics.json. All fields except "timings" are the same for the same data, settings and seed."""
    data = judgement.data
    return {
        "version": METRICS_VERSION,
        "task": data.task,
        "classes": list(data.classes),
        "input": {"size": data.size, "channels": data.channels, "scaling": "0..1"},
        "data": {split: _data_facts(data, split) for split in data.splits},
        "network": asdict(judgement.network),
        "training": asdict(judgement.training),
        **_operating_facts(judgement),
        "scores": {
            split: {runtime: score.as_dict() for runtime, score in by_runtime.items()}
            for split, by_runtime in judgement.scores.items()
        },
        "float32_against_int8": {split: _int8_drop(judgement, split) for split in judgement.scores},
        "footprint": judgement.footprint.as_dict(),
        "files_bytes": {
            path.name: path.stat().st_size for path in (outputs.onnx, outputs.tflite_float32, outputs.tflite_int8)
        },
        "settings": judgement.settings.as_dict(),
        "package_versions": _package_versions(),
        "timings": {
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "peak_memory_mb": _peak_memory_mb(),
        },
    }


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / RESOURCE_UNITS_PER_MB, 1)


def _data_facts(data: BlockData, split: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"images": len(data.splits[split]), "per_class": data.class_counts(split)}
    return facts | ({"background_images": data.background_images(split)} if data.task == "detection" else {})


def _operating_facts(judgement: Judgement) -> dict[str, Any]:
    calibration = judgement.operating.calibration
    if judgement.data.task == "detection":
        return {"detection": _detection_facts(judgement)}
    return {"calibration": asdict(calibration)} if calibration else {}


def _detection_facts(judgement: Judgement) -> dict[str, Any]:
    settings, data = judgement.settings, judgement.data
    grid = next(iter(next(iter(judgement.probabilities.values())).values())).shape[1]
    return {
        "grid": grid,
        "cell_px": data.size // grid,
        "decode": settings.decode,
        "threshold": judgement.operating.threshold,
        "shifts": dict(zip(data.classes, judgement.operating.shifts, strict=True)),
        "attention": settings.attention,
        "loss": settings.loss,
        "curve": [asdict(point) for point in judgement.operating.curve],
    }


def _int8_drop(judgement: Judgement, split: str) -> dict[str, float]:
    """How much the int8 model differs from the trained float32 network."""
    name = FIGURES[judgement.data.task][0].name
    runtimes, scores = judgement.probabilities[split], judgement.scores[split]
    return {
        "agreement": agreement(runtimes[FLOAT32], runtimes[INT8]),
        f"{name}_drop": getattr(scores[FLOAT32], name) - getattr(scores[INT8], name),
    }


def _package_versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def deploy_manifest(judgement: Judgement) -> Manifest:
    """The content of deploy.json for a model that was scored."""
    split = "holdout" if "holdout" in judgement.scores else "validation"
    int8 = judgement.scores[split][INT8]
    figures = {
        "split": split,
        "images": int8.images,
        **{figure.name: getattr(int8, figure.name) for figure in FIGURES[judgement.data.task] if figure.is_for_boards},
        "macs": judgement.footprint.macs,
        "tflm_arena_bytes": judgement.footprint.tflm_arena_bytes,
    }
    return board_manifest(judgement.settings, judgement.data, judgement.operating, figures)


def board_manifest(
    settings: Settings,
    data: BlockData,
    operating: OperatingPoint | None = None,
    figures: Mapping[str, Any] | None = None,
) -> Manifest:
    """What esp32_deploy needs besides the .tflite. Without an operating point the board uses its default threshold."""
    return Manifest(
        name=settings.library_name,
        task=data.task,
        labels=data.classes,
        colour=colour_of(data.channels),
        # The block does not know how Studio made its images square.
        resize=data.preparation.resize if data.preparation else None,
        threshold=operating.threshold if operating else None,
        decode=settings.decode if data.task == "detection" else None,
        figures=dict(figures or {}),
    )
