"""Makes output folders of runs without training: the predictions are made up, so that a report takes seconds."""

from pathlib import Path

import numpy as np
from drawn_arrays import CLASSES, write_arrays
from tiny_models import mobilenet

from block.data import contract, reading
from block.data.contract import Outputs
from block.data.writing import block_writer
from block.facts import NetworkFacts, OperatingPoint, TrainingFacts
from block.measure import detections, evaluate, footprint
from block.model.training import Epoch
from block.report import results
from block.settings import Settings
from esp32_deploy.words import DEFAULT_THRESHOLDS

RUNTIMES = ("torch", "onnx", "tflite_float32", "tflm_int8")
THRESHOLD, CELL_PX, SIZE_PX = 0.45, 8, 48
NETWORK = NetworkFacts(width=0.35, cut="block_5", parameters=14755, pretrained=None, random_layers=())
TRAINING = TrainingFacts(
    epoch=2, validation_loss=0.5, validation_score=0.8, batch_size=32, splits=("train",), device="cpu"
)


def write_run(folder: Path, operating, scores, probabilities) -> Outputs:
    """Writes `folder`/out like train.py, except the report. The arrays are in `folder`/data."""
    outputs, data = Outputs(folder / "out"), reading.read(folder / "data")
    outputs.directory.mkdir(parents=True)
    is_grid = data.task == "detection"
    outputs.tflite_int8.write_bytes(mobilenet(0.35, SIZE_PX, classes=3 + is_grid, is_grid=is_grid).content())
    for path in (outputs.onnx, outputs.tflite_float32):
        path.write_bytes(b"model")
    epochs = [Epoch(n, 3, 1.2 / n, 1.3 / n, 0.3 * n, 0.01, 1.0, True) for n in (1, 2, 3)]
    results.write_history(outputs.history, epochs)
    settings = Settings(folder / "data", outputs.directory, library_name="squares")
    costs = footprint.measure(outputs.tflite_int8)
    judgement = results.Judgement(settings, data, NETWORK, TRAINING, operating, scores, probabilities, costs)
    results.write_labels(outputs.labels, data.classes)
    results.write_predictions(outputs.predictions, judgement)
    contract.write_json(outputs.metrics, results.metrics(judgement, outputs, {"reading": 0.5, "training": 3.0}))
    contract.write_json(outputs.deploy, results.deploy_manifest(judgement).as_dict())
    return outputs


def scored_splits(data):
    return {name: split for name, split in data.splits.items() if name != "train"}


def classification_run(folder: Path, images=60, holdout=12, classes=CLASSES, size=SIZE_PX) -> Outputs:
    """A run of a classifier that recognises most photos."""
    write_arrays(folder / "data", images=images, holdout=holdout, size=size, classes=list(classes))
    data, generator = reading.read(folder / "data"), np.random.default_rng(1)
    probabilities = {
        name: {runtime: _probabilities(split.labels, generator) for runtime in RUNTIMES}
        for name, split in scored_splits(data).items()
    }
    scores = {
        name: {
            runtime: evaluate.evaluate(values, data.splits[name].labels, data.classes)
            for runtime, values in by_runtime.items()
        }
        for name, by_runtime in probabilities.items()
    }
    return write_run(folder, OperatingPoint(DEFAULT_THRESHOLDS["classification"]), scores, probabilities)


def _probabilities(labels, generator):
    predicted = np.where(generator.random(len(labels)) < 0.8, labels, generator.integers(0, 3, len(labels)))
    raw = generator.uniform(0, 0.4, (len(labels), 3)) + np.eye(3)[predicted]
    return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def detection_run(folder: Path, photos: int = 12) -> Outputs:
    """A run of a detector. Every fifth photo has a missed object, every seventh photo a false positive."""
    _write_boxes(folder / "data", photos)
    data = reading.read(folder / "data")
    grids = {name: _grids(split.labels) for name, split in scored_splits(data).items()}
    scores = {
        name: detections.evaluate(its, list(data.splits[name].labels), CLASSES, SIZE_PX, THRESHOLD, "peaks")
        for name, its in grids.items()
    }
    curve = detections.curve(grids["validation"], list(data.validation.labels), SIZE_PX, "peaks")
    return write_run(
        folder,
        OperatingPoint(THRESHOLD, curve),
        {name: dict.fromkeys(RUNTIMES, score) for name, score in scores.items()},
        {name: dict.fromkeys(RUNTIMES, its) for name, its in grids.items()},
    )


def _write_boxes(folder: Path, photos: int) -> None:
    # Each photo has one coloured square. The last photo of each split is empty.
    counts = {"train": 30, "validation": photos, "holdout": photos // 2}
    with block_writer(folder, CLASSES, SIZE_PX, 3, tuple(counts), "detection") as writer:
        for number, (split, count) in enumerate(counts.items()):
            generator = np.random.default_rng(number)
            for row in range(count):
                image = generator.integers(0, 100, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
                label, x, y = (int(value) for value in generator.integers(0, (3, SIZE_PX - 16, SIZE_PX - 16)))
                boxes = np.array([[label, x, y, 16, 16]])[: int(row < count - 1)]
                for _, left, top, width, height in boxes:
                    image[top : top + height, left : left + width] = np.eye(3, dtype=np.uint8)[label] * 230
                writer.append(split, image, boxes, f"{split}-{row}")


def _grids(photos) -> np.ndarray:
    cells = SIZE_PX // CELL_PX
    grids = np.full((len(photos), cells, cells, 4), 0.05, np.float32)
    grids[..., 0] = 0.85
    for number, (grid, boxes) in enumerate(zip(grids, photos, strict=True)):
        for label, x, y, width, height in boxes:
            if number % 5:
                grid[(y + height // 2) // CELL_PX, (x + width // 2) // CELL_PX] = 0.04 + 0.84 * np.eye(4)[label + 1]
        if number % 7 == 3:
            grid[0, 0] = 0.04 + 0.6 * np.eye(4)[1]
    return grids
