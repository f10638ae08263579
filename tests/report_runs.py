"""Output folders of runs that nobody trained: real results of made-up answers, so that reports take no minutes."""

import csv
from pathlib import Path

import numpy as np
from conftest import CLASSES, write_arrays
from tiny_models import mobilenet

from block.data import contract, reading
from block.data.contract import Outputs
from block.data.reading import BlockData, Split
from block.measure import detections, evaluate, footprint
from block.measure.decode import decode
from block.model.training import Epoch
from block.report import results
from block.settings import Settings

RUNTIMES = ("torch", "onnx", "tflite_float32", "tflm_int8")
FACTS = {
    "network": {"width": 0.35, "cut": "block_5", "parameters": 14755, "pretrained": None, "random_layers": []},
    "training": {"epoch": 2, "validation_loss": 0.5, "device": "cpu"},
}


def write_models(outputs):
    outputs.directory.mkdir(parents=True, exist_ok=True)
    outputs.tflite_int8.write_bytes(mobilenet(0.35, 48, classes=3).content())
    for path in (outputs.onnx, outputs.tflite_float32):
        path.write_bytes(b"model")


def write_history(outputs):
    epochs = [Epoch(n, 3, 1.2 / n, 1.3 / n, 0.3 * n, 0.01, 1.0, True) for n in (1, 2, 3)]
    results.write_history(outputs.history, epochs)


def answers(labels, generator):
    """Probabilities of 3 classes that are mostly right."""
    said = np.where(generator.random(len(labels)) < 0.8, labels, generator.integers(0, 3, len(labels)))
    raw = generator.uniform(0, 0.4, (len(labels), 3)) + np.eye(3)[said]
    return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def classification_run(folder: Path, images: int = 60, holdout: int = 12, classes=CLASSES, size: int = 48) -> Outputs:
    """`folder`/out as train.py leaves it, for the arrays in `folder`/data."""
    write_arrays(folder / "data", images=images, holdout=holdout, size=size, classes=list(classes))
    outputs = Outputs(folder / "out")
    write_models(outputs)
    write_history(outputs)
    data = reading.read(folder / "data")
    generator = np.random.default_rng(1)
    probabilities = {
        name: {runtime: answers(split.labels, generator) for runtime in RUNTIMES}
        for name, split in data.splits.items()
        if name != "train"
    }
    scores = {
        name: {
            runtime: evaluate.evaluate(values, data.splits[name].labels, data.classes)
            for runtime, values in by_runtime.items()
        }
        for name, by_runtime in probabilities.items()
    }
    settings = Settings(folder / "data", outputs.directory, library_name="squares")
    costs = footprint.measure(outputs.tflite_int8)
    results.write_predictions(outputs.predictions, data, probabilities)
    seconds = {"reading": 0.5, "training": 3.0}
    contract.write_json(
        outputs.metrics, results.metrics(settings, data, FACTS, scores, probabilities, costs, outputs, seconds)
    )
    return outputs


def detection_data(photos: int = 12, size: int = 48) -> dict[str, Split]:
    """Coloured squares with boxes (class, x, y, width, height); the last photo of each split shows nothing."""
    splits = {}
    for number, (name, count) in enumerate({"train": 30, "validation": photos, "holdout": photos // 2}.items()):
        generator = np.random.default_rng(number)
        images = generator.uniform(0, 0.4, (count, size, size, 3)).astype(np.float32)
        boxes = []
        for image in images[:-1]:
            label, (x, y) = int(generator.integers(3)), generator.integers(0, size - 16, 2)
            image[y : y + 16, x : x + 16] = np.eye(3)[label] * 0.9
            boxes.append(np.array([[label, x, y, 16, 16]]))
        boxes.append(np.zeros((0, 5), int))
        splits[name] = Split(images, boxes, tuple(f"{name}-{row}" for row in range(count)))
    return splits


def grids_of(boxes, size: int = 48, cell_px: int = 8) -> np.ndarray:
    """Grids (N, H, W, 4) of a model that misses every fifth object and makes one up on every seventh photo."""
    grids = np.full((len(boxes), size // cell_px, size // cell_px, 4), 0.05, np.float32)
    grids[..., 0] = 0.85
    for number, (grid, its) in enumerate(zip(grids, boxes, strict=True)):
        for label, x, y, width, height in its:
            if number % 5:
                grid[(y + height // 2) // cell_px, (x + width // 2) // cell_px] = 0.04 + 0.84 * np.eye(4)[label + 1]
        if number % 7 == 3:
            grid[0, 0] = 0.04 + 0.6 * np.eye(4)[1]
    return grids


def detection_run(folder: Path, photos: int = 12) -> tuple[Outputs, BlockData]:
    """`folder`/out as train.py leaves it for boxes, and the data."""
    outputs = Outputs(folder / "out")
    write_models(outputs)
    write_history(outputs)
    splits = detection_data(photos)
    data = BlockData(folder, tuple(CLASSES), **splits, max_training_seconds=None, preparation={})
    judged = {name: split for name, split in splits.items() if name != "train"}
    scores, rows = {}, []
    for name, split in judged.items():
        grids = grids_of(split.labels)
        score = detections.evaluate(grids, split.labels, CLASSES, 48, 0.45, "peaks").as_dict()
        scores[name] = dict.fromkeys(RUNTIMES, score)
        for photo, grid, boxes in zip(split.sample_names, grids, split.labels, strict=True):
            found = decode(grid, 0.45, 8, "peaks")
            hit = detections.match(found, boxes)
            for (label, x, y, width, height), by in zip(boxes.tolist(), hit.detection_of, strict=True):
                center = (x + width // 2, y + height // 2)
                rows.append([name, photo, "truth", CLASSES[label], "", x, y, width, height, *center, int(by >= 0)])
            for one, truth in zip(found, hit.truth_of, strict=True):
                box = (one.x, one.y, one.width, one.height, one.center_x, one.center_y)
                rows.append([name, photo, "int8", CLASSES[one.label], f"{one.score:.4f}", *box, int(truth >= 0)])
    with outputs.predictions.open("w", newline="") as file:
        columns = "split,name,kind,label,score,x,y,width,height,center_x,center_y,matched"
        csv.writer(file).writerows([columns.split(","), *rows])
    validation = splits["validation"]
    metrics = {
        "version": results.METRICS_VERSION,
        "task": "detection",
        "classes": CLASSES,
        "input": {"size": 48, "channels": 3, "scaling": "0..1"},
        "data": {
            name: {
                "images": len(split.labels),
                "per_class": {
                    one: sum(int((its[:, 0] == index).sum()) for its in split.labels)
                    for index, one in enumerate(CLASSES)
                },
                "background_images": 1,
            }
            for name, split in splits.items()
        },
        **FACTS,
        "detection": {
            "grid": 6,
            "cell_px": 8,
            "decode": "peaks",
            "threshold": 0.45,
            "attention": False,
            "curve": detections.curve(grids_of(validation.labels), validation.labels, 48, "peaks"),
        },
        "scores": scores,
        "float32_against_int8": {name: {"agreement": 0.98, "f1_drop": 0.02} for name in judged},
        "footprint": footprint.measure(outputs.tflite_int8).as_dict(),
        "files_bytes": {},
        "settings": Settings(folder, outputs.directory, library_name="squares").as_dict(),
        "package_versions": {},
        "timings": {"seconds": {"training": 3.0}, "peak_memory_mb": 100.0},
    }
    contract.write_json(outputs.metrics, metrics)
    return outputs, data
