"""report.html: one file that shows what was learned, what it costs and how it comes onto a board.

Made from metrics.json, history.csv and predictions.csv; the photos are those of the run's arrays, where they are.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from block import console
from block.data import contract, reading
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.report import charts, data_checks, gallery
from block.report.results import METRICS_VERSION, NOT_SURE_THRESHOLD
from block.report.summary import NOTABLE_DROP, board_text, memory_bytes
from block.words import FLOAT32, INT8, RUNTIME_NAMES, SPLIT_WORDS
from esp32_deploy.files import replacing

TEMPLATE = "page.html.j2"
BACKGROUND = "background"
# how the filter knows photos without any object
NO_CLASS = "none"
# of a share that was counted on a sample, the interval that holds the true one 19 times out of 20
DEVIATIONS = 1.96

Metrics = Mapping[str, Any]


def write(outputs: Outputs, data: BlockData | None = None) -> None:
    """Writes report.html beside the results of a run; without `data` it has no photos.

    Raises BlockError when the results are missing or of another version.
    """
    metrics = read_metrics(outputs)
    rows = _read_csv(outputs.predictions)
    text = _render(context(outputs, metrics, _read_csv(outputs.history), rows, data))
    with replacing(outputs.report) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_metrics(outputs: Outputs) -> dict[str, Any]:
    """metrics.json; raises BlockError when it is missing or of another version."""
    if not outputs.metrics.exists():
        raise BlockError(
            f"{outputs.metrics} does not exist; name the output folder of a run, or finish it first: "
            f"{console.command('-m', 'block', 'convert', outputs.directory)}"
        )
    metrics: dict[str, Any] = contract.read_json(outputs.metrics)
    if metrics.get("version") != METRICS_VERSION:
        raise BlockError(
            f"{outputs.metrics} is of version {metrics.get('version')}, this is for version {METRICS_VERSION}; make it "
            f"again: {console.command('-m', 'block', 'convert', outputs.directory)}"
        )
    return metrics


def read_data(outputs: Outputs, metrics: Metrics, directory: Path) -> BlockData:
    """The run's arrays: those of `directory`, or for the folder of photos it was, those prepared beside the results."""
    if not contract.is_block_directory(directory) and contract.is_block_directory(outputs.prepared):
        directory = outputs.prepared
    size, channels = metrics["input"]["size"], metrics["input"]["channels"]
    data = reading.read(directory, classes=metrics["classes"], shape=(size, size, channels))
    expected = {split: counts["images"] for split, counts in metrics["data"].items()}
    found = {split: len(examples) for split, examples in data.splits.items()}
    if found != expected or data.size != size:
        raise BlockError(
            f"{directory} holds other data than the run in {outputs.directory} was made from; name that data with "
            "--data-directory, or leave it out for a report without photos."
        )
    return data


def context(
    outputs: Outputs,
    metrics: Metrics,
    history: Sequence[gallery.Row],
    rows: Sequence[gallery.Row],
    data: BlockData | None,
) -> dict[str, Any]:
    """What the template shows."""
    task, split = metrics["task"], _judged_split(metrics)
    threshold = metrics["detection"]["threshold"] if task == "detection" else NOT_SURE_THRESHOLD
    library = outputs.library(metrics["settings"]["library_name"])
    judged = gallery.judge(rows, data, metrics["scores"], threshold) if data else []
    return {
        "name": metrics["settings"]["library_name"],
        "task": task,
        "metrics": metrics,
        "split": split,
        "split_words": SPLIT_WORDS,
        "verdict": verdict(metrics, split),
        "interval": _interval(metrics, split),
        "tiles": _tiles(metrics, split),
        "findings": _findings(metrics, data),
        "charts": _charts(metrics, history, rows, threshold),
        "confusions": [_confusion(metrics, split) for split in reversed(metrics["scores"])],
        "runtimes": [_runtimes(metrics, split) for split in reversed(metrics["scores"])],
        "per_class": _per_class(metrics, split),
        "sure": _sure(rows, split, threshold) if task == "classification" else None,
        "threshold": threshold,
        "pictures": list(gallery.pictures(judged, data)) if data else [],
        "photos": len(judged),
        "has_photos": data is not None,
        "board": board_text(metrics["footprint"]),
        "ram": memory_bytes(metrics["footprint"])[0],
        "settings": _flat(metrics["settings"]),
        "zip_name": library.name,
        "has_zip": library.exists(),
        "model_name": outputs.tflite_int8.name,
        "class_keys": lambda names: " ".join(str(metrics["classes"].index(name)) for name in names) or NO_CLASS,
    }


def verdict(metrics: Metrics, split: str) -> str:
    """The whole run in one line."""
    int8, costs = metrics["scores"][split][INT8], metrics["footprint"]
    photos = f"{metrics['data'][split]['images']} {SPLIT_WORDS[split]} photos"
    if metrics["task"] == "detection":
        worth = f"F1 {int8['f1']:.3f} on {photos}"
    else:
        worth = f"{int8['accuracy']:.1%} of {photos} right"
    ram, flash = memory_bytes(costs)
    return (
        f"{worth} in int8, with {console.size_text(ram)} of RAM and {console.size_text(flash)} of flash: "
        f"{board_text(costs)}."
    )


# --- the parts of the page -----------------------------------------------------------------------------------


def _judged_split(metrics: Metrics) -> str:
    return "holdout" if "holdout" in metrics["scores"] else "validation"


def _interval(metrics: Metrics, split: str) -> tuple[float, float] | None:
    """Where the accuracy on all photos of this kind lies, as far as so few photos can tell (Wilson)."""
    if metrics["task"] == "detection":
        return None
    count, share = metrics["data"][split]["images"], metrics["scores"][split][INT8]["accuracy"]
    spread = DEVIATIONS**2 / count
    middle = share + spread / 2
    reach = DEVIATIONS * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)


def _tiles(metrics: Metrics, split: str) -> list[tuple[str, str]]:
    int8, costs = metrics["scores"][split][INT8], metrics["footprint"]
    is_detection = metrics["task"] == "detection"
    worth = (f"{int8['f1']:.3f}", "F1 in int8") if is_detection else (f"{int8['accuracy']:.1%}", "accuracy in int8")
    ram, flash = memory_bytes(costs)
    return [
        worth,
        (f"{metrics['float32_against_int8'][split]['agreement']:.1%}", "agreement of float32 and int8"),
        (console.size_text(ram), "RAM"),
        (console.size_text(flash), "flash for weights"),
        (f"{costs['macs'] / 1e6:.1f} M", "multiply-accumulates an image"),
    ]


def _findings(metrics: Metrics, data: BlockData | None) -> list[str]:
    counts = {split: its["per_class"] for split, its in metrics["data"].items()}
    found = data_checks.count_warnings(counts, "object" if metrics["task"] == "detection" else "photo")
    for split, its in metrics["float32_against_int8"].items():
        drop = its.get("accuracy_drop", its.get("f1_drop", 0.0))
        if drop > NOTABLE_DROP:
            loss = f"{drop:.3f} of F1" if metrics["task"] == "detection" else f"{drop:.1%} accuracy"
            found.append(f"int8 loses {loss} on the {SPLIT_WORDS[split]} photos.")
    return found + (data_checks.photo_warnings(data) if data else [])


def _charts(
    metrics: Metrics, history: Sequence[gallery.Row], rows: Sequence[gallery.Row], threshold: float
) -> dict[str, str]:
    is_detection, kept = metrics["task"] == "detection", metrics["training"]["epoch"]
    epochs = [int(row["number"]) for row in history]
    losses = {
        "training": [_number(row["train_loss"]) for row in history],
        "validation": [_number(row["validation_loss"]) for row in history],
    }
    score = "F1" if is_detection else "accuracy"
    values = {f"validation {score}": [_number(row["score"]) for row in history]}
    found = {
        "loss": charts.curves(epochs, losses, kept, "loss", "loss", is_share=False),
        "score": charts.curves(epochs, values, kept, "score", score, is_share=True),
        "reliability": charts.reliability(*_answers(rows, is_detection), threshold),
    }
    if is_detection:
        found["threshold"] = charts.precision_recall(metrics["detection"]["curve"], threshold)
    return found | _layer_charts(metrics["footprint"])


def _layer_charts(costs: Mapping[str, Any]) -> dict[str, str]:
    layers = costs["layers"]
    names = [f"{number}  {layer['kind']} {_shape(layer['shape'])}" for number, layer in enumerate(layers, start=1)]
    working = [index for index, layer in enumerate(layers) if layer["macs"]]
    labels = [names[index] for index in working]
    found = {
        name: charts.bars(labels, [layers[index][field] / scale for index in working], name, unit, description)
        for name, field, scale, unit, description in (
            ("work", "macs", 1e6, "million multiply-accumulates", "Multiply-accumulates by layer."),
            ("weights", "weight_bytes", 1024, "KB of weights", "Bytes of weights by layer."),
        )
    }
    if costs["stream"]:
        kept = [("image", costs["stream"]["input_bytes"])]
        kept += [(name, layer["kept_bytes"]) for name, layer in zip(names, layers, strict=True) if layer["kept_bytes"]]
        kept += [("scratch", costs["stream"]["scratch_bytes"])]
        found["rows"] = charts.bars(
            [name for name, _ in kept],
            [size / 1024 for _, size in kept],
            "rows",
            "KB of RAM for rows that are kept",
            "RAM that the rows of each layer take when the network streams.",
        )
        both = {"TensorFlow Lite Micro": costs["tflm_arena_bytes"], "streamed rows": costs["stream"]["ram_bytes"]}
        found["memory"] = charts.bars(
            list(both), [size / 1024 for size in both.values()], "memory", "KB of RAM", "RAM of both ways to run."
        )
    return found


def _number(text: str) -> float:
    # an epoch that was not validated has no figures
    return float(text) if text else math.nan


def _answers(rows: Sequence[gallery.Row], is_detection: bool) -> tuple[np.ndarray, np.ndarray]:
    """How sure each int8 answer was, and whether it was right."""
    if is_detection:
        said = [(float(row["score"]), row["matched"] == "1") for row in rows if row["kind"] == "int8"]
    else:
        said = [(float(row["int8_confidence"]), row["int8_label"] == row["label"]) for row in rows]
    confidences, is_right = np.array(said, dtype=float).reshape(-1, 2).T
    return confidences, is_right


def _sure(rows: Sequence[gallery.Row], split: str, threshold: float) -> dict[str, int]:
    its = [row for row in rows if row["split"] == split]
    sure = [row for row in its if float(row["int8_confidence"]) >= threshold]
    return {
        "photos": len(its),
        "sure": len(sure),
        "right": sum(row["int8_label"] == row["label"] for row in sure),
    }


def _confusion(metrics: Metrics, split: str) -> dict[str, Any]:
    """Rows of cells with their share of the row, for the int8 model; names are numbered as the filter knows them."""
    names = [*metrics["classes"]]
    keys: list[str] = [str(index) for index in range(len(names))]
    if metrics["task"] == "detection":
        names, keys = [BACKGROUND, *names], [NO_CLASS, *keys]
    table = metrics["scores"][split][INT8]["confusion"]
    return {
        "split": split,
        "names": names,
        "rows": [
            {
                "name": names[true],
                "cells": [
                    {
                        "count": count,
                        "share": count / max(1, sum(counts)),
                        "is_hit": true == said,
                        "is_blank": keys[true] == keys[said] == NO_CLASS,
                        **_photos_of(keys[true], keys[said]),
                        "words": f"{count} of {names[true]}, taken for {names[said]}",
                    }
                    for said, count in enumerate(counts)
                ],
            }
            for true, counts in enumerate(table)
        ],
    }


def _photos_of(true: str, said: str) -> dict[str, str]:
    """What the filter is set to for the photos behind a number of the confusion matrix."""
    if true == NO_CLASS:
        return {"true": "", "said": said, "kinds": "extra"}
    if said == NO_CLASS:
        return {"true": true, "said": "", "kinds": "missed"}
    return {"true": true, "said": said, "kinds": ""}


def _runtimes(metrics: Metrics, split: str) -> dict[str, Any]:
    if metrics["task"] == "detection":
        head = ["precision", "recall", "F1", "Edge Impulse's F1", "counting error a photo"]
        fields = [("precision", ".3f"), ("recall", ".3f"), ("f1", ".3f"), ("ei_f1", ".3f"), ("count_error", ".2f")]
    else:
        head, fields = ["accuracy", "loss"], [("accuracy", ".1%"), ("loss", ".4f")]
    return {
        "split": split,
        "head": head,
        "rows": [
            (RUNTIME_NAMES.get(runtime, runtime), [format(scores[field], form) for field, form in fields])
            for runtime, scores in metrics["scores"][split].items()
        ],
    }


def _per_class(metrics: Metrics, split: str) -> dict[str, Any]:
    both = metrics["scores"][split]
    is_detection = metrics["task"] == "detection"
    head = ["objects" if is_detection else "photos", "precision", "recall", "F1 int8", "F1 float32"]
    rows = []
    for name, int8 in both[INT8]["per_class"].items():
        cells = [str(int8["objects" if is_detection else "images"])]
        cells += [f"{int8[field]:.3f}" for field in ("precision", "recall", "f1")]
        cells.append(f"{both[FLOAT32]['per_class'][name]['f1']:.3f}")
        if is_detection:
            cells.append(f"{int8['count_error']:.2f}")
        rows.append((name, cells))
    return {"head": head + (["counting error"] if is_detection else []), "rows": rows}


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{name}.")
        else:
            found.append((above + name, "" if value is None else str(value)))
    return found


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _read_csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise BlockError(f"{path} cannot be read: {error.strerror}. The report needs it.") from error


def _render(values: Mapping[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": console.size_text, "product": math.prod}
    return environment.get_template(TEMPLATE).render(values)
