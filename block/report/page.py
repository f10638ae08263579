"""Writes report.html: one file with the results of a run, the costs on a board and the steps to install the library.

The input is metrics.json, history.csv and predictions.csv. The photos come from the arrays of the run.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from block import console
from block.data import contract, reading
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.report import charts, data_checks, gallery
from block.report.results import METRICS_VERSION
from block.report.summary import NOTABLE_DROP, board_text, flash_bytes, ram_text
from block.report.tasks import NO_CLASS, VIEWS, Metrics, TaskView
from block.words import FLOAT32, INT8, RUNTIME_NAMES, SPLIT_WORDS
from esp32_deploy.files import replacing

TEMPLATE = "page.html.j2"


def write(outputs: Outputs, data: BlockData | None = None) -> None:
    """Writes report.html to the output folder of a run. Without `data` the report has no photos.

    Raises BlockError if the results are missing or have another version.
    """
    metrics = read_metrics(outputs)
    rows = _read_csv(outputs.predictions)
    text = _render(context(outputs, metrics, _read_csv(outputs.history), rows, data))
    with replacing(outputs.report) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_metrics(outputs: Outputs) -> dict[str, Any]:
    """Reads metrics.json. Raises BlockError if it is missing or has another version."""
    if not outputs.metrics.exists():
        raise BlockError(
            f"{outputs.metrics} does not exist. Name the output folder of a run. To finish an interrupted run: "
            f"{console.command('-m', 'block', 'convert', outputs.directory)}"
        )
    metrics: dict[str, Any] = contract.read_json(outputs.metrics)
    if metrics.get("version") != METRICS_VERSION:
        raise BlockError(
            f"{outputs.metrics} has version {metrics.get('version')}, but version {METRICS_VERSION} is needed. "
            f"Write it again: {console.command('-m', 'block', 'convert', outputs.directory)}"
        )
    return metrics


def read_data(outputs: Outputs, metrics: Metrics, directory: Path) -> BlockData:
    """Reads the arrays of a run. If `directory` is a folder of photos, reads the arrays prepared in the output folder.

    Raises BlockError if these arrays differ from the data of the run in size or number of images.
    """
    if not contract.is_block_directory(directory) and contract.is_block_directory(outputs.prepared):
        directory = outputs.prepared
    size, channels = metrics["input"]["size"], metrics["input"]["channels"]
    data = reading.read(directory, classes=metrics["classes"], shape=(size, size, channels))
    expected = {split: counts["images"] for split, counts in metrics["data"].items()}
    found = {split: len(examples) for split, examples in data.splits.items()}
    if found != expected or data.size != size:
        raise BlockError(
            f"{directory} is not the data that the run in {outputs.directory} was trained on. Name that data with "
            "--data-directory, or omit the option to get a report without photos."
        )
    return data


def context(
    outputs: Outputs,
    metrics: Metrics,
    history: Sequence[gallery.Row],
    rows: Sequence[gallery.Row],
    data: BlockData | None,
) -> dict[str, Any]:
    """The values for the template."""
    view, split = VIEWS[metrics["task"]], _main_split(metrics)
    threshold = view.threshold(metrics)
    library = outputs.library(metrics["settings"]["library_name"])
    entries = gallery.entries(rows, data, metrics["scores"], threshold) if data else []
    return {
        "name": metrics["settings"]["library_name"],
        "task": view.task,
        "metrics": metrics,
        "split": split,
        "split_words": SPLIT_WORDS,
        "verdict": verdict(view, metrics, split),
        "interval": view.interval(metrics, split),
        "tiles": _tiles(view, metrics, split),
        "findings": _findings(view, metrics, data),
        "charts": _charts(view, metrics, history, rows, threshold),
        "confusions": [_confusion(view, metrics, split) for split in reversed(metrics["scores"])],
        "runtimes": [_runtimes(view, metrics, split) for split in reversed(metrics["scores"])],
        "per_class": _per_class(view, metrics, split),
        "sure": view.sure(rows, split, threshold),
        "threshold": threshold,
        "pictures": list(gallery.pictures(entries, data)) if data else [],
        "photos": len(entries),
        "has_photos": data is not None,
        "board": board_text(metrics["footprint"]),
        "ram": ram_text(metrics["footprint"]),
        "settings": _flat(metrics["settings"]),
        "zip_name": library.name,
        "has_zip": library.exists(),
        "model_name": outputs.tflite_int8.name,
        "class_keys": lambda names: " ".join(str(metrics["classes"].index(name)) for name in names) or NO_CLASS,
    }


def verdict(view: TaskView, metrics: Metrics, split: str) -> str:
    """The first lines of the page: the main figure, RAM and flash, and the boards that fit."""
    costs = metrics["footprint"]
    ram, flash = ram_text(costs), console.size_text(flash_bytes(costs))
    quality, board = view.verdict(metrics, split), board_text(costs)
    return f"{quality} (int8). The model needs {ram} of RAM and {flash} of flash. It {board}."


# --- the parts of the page -----------------------------------------------------------------------------------


def _main_split(metrics: Metrics) -> str:
    return "holdout" if "holdout" in metrics["scores"] else "validation"


def _tiles(view: TaskView, metrics: Metrics, split: str) -> list[tuple[str, str]]:
    int8, costs, main = metrics["scores"][split][INT8], metrics["footprint"], view.figures[0]
    return [
        (main.text(int8[main.name]), f"{main.title} (int8)"),
        (f"{metrics['float32_against_int8'][split]['agreement']:.1%}", "agreement of float32 and int8"),
        (ram_text(costs), "RAM"),
        (console.size_text(flash_bytes(costs)), "flash for weights"),
        (f"{costs['macs'] / 1e6:.1f} M", "multiply-accumulates per image"),
    ]


def _findings(view: TaskView, metrics: Metrics, data: BlockData | None) -> list[str]:
    counts = {split: its["per_class"] for split, its in metrics["data"].items()}
    found = data_checks.count_warnings(counts, view.thing)
    for split, its in metrics["float32_against_int8"].items():
        drop = its[f"{view.figures[0].name}_drop"]
        if drop > NOTABLE_DROP:
            found.append(f"Quantization to int8 lowers {view.drop_text(drop)} on the {SPLIT_WORDS[split]} photos.")
    int8 = metrics["scores"][_main_split(metrics)][INT8]
    if warning := view.studio_warning(int8):
        found.append(warning)
    if data is None:
        return found
    return [*found, *(data.preparation.warnings if data.preparation else ()), *data_checks.photo_warnings(data)]


def _charts(
    view: TaskView, metrics: Metrics, history: Sequence[gallery.Row], rows: Sequence[gallery.Row], threshold: float
) -> dict[str, str]:
    kept, score = metrics["training"]["epoch"], view.figures[0].title
    epochs = [int(row["number"]) for row in history]
    losses = {
        "training": [_number(row["train_loss"]) for row in history],
        "validation": [_number(row["validation_loss"]) for row in history],
    }
    values = {f"validation {score}": [_number(row["score"]) for row in history]}
    return {
        "loss": charts.curves(epochs, losses, kept, "loss", "loss", is_share=False),
        "score": charts.curves(epochs, values, kept, "score", score, is_share=True),
        "reliability": charts.reliability(*view.answers(rows), threshold),
        **view.more_charts(metrics, threshold),
        **_layer_charts(metrics["footprint"]),
    }


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
            "KB of RAM for kept rows",
            "RAM for the kept rows of each layer, if the network is computed row by row.",
        )
        arena, rows_bytes = costs["tflm_arena_bytes"], costs["stream"]["ram_bytes"]
        both = ({"TensorFlow Lite Micro": arena} if arena is not None else {}) | {"row by row": rows_bytes}
        found["memory"] = charts.bars(
            list(both), [size / 1024 for size in both.values()], "memory", "KB of RAM", "RAM by runtime."
        )
    return found


def _number(text: str) -> float:
    # An epoch without validation has empty fields.
    return float(text) if text else math.nan


def _confusion(view: TaskView, metrics: Metrics, split: str) -> dict[str, Any]:
    """The confusion matrix of the int8 model: rows of cells, each with its share of the row and its filter values."""
    names, keys = view.confusion_names(metrics["classes"])
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
                        "is_hit": true == predicted,
                        "is_blank": keys[true] == keys[predicted] == NO_CLASS,
                        **_photos_of(keys[true], keys[predicted]),
                        "words": f"{count}: true {names[true]}, predicted {names[predicted]}",
                    }
                    for predicted, count in enumerate(counts)
                ],
            }
            for true, counts in enumerate(table)
        ],
    }


def _photos_of(true: str, predicted: str) -> dict[str, str]:
    """The filter values that show the photos of one cell of the confusion matrix."""
    if true == NO_CLASS:
        return {"true": "", "predicted": predicted, "kinds": "extra"}
    if predicted == NO_CLASS:
        return {"true": true, "predicted": "", "kinds": "missed"}
    return {"true": true, "predicted": predicted, "kinds": ""}


def _runtimes(view: TaskView, metrics: Metrics, split: str) -> dict[str, Any]:
    return {
        "split": split,
        "head": [figure.title for figure in view.figures],
        "rows": [
            (RUNTIME_NAMES.get(runtime, runtime), [figure.text(scores[figure.name]) for figure in view.figures])
            for runtime, scores in metrics["scores"][split].items()
        ],
    }


def _per_class(view: TaskView, metrics: Metrics, split: str) -> dict[str, Any]:
    both = metrics["scores"][split]
    head = [f"{view.thing}s", "precision", "recall", "F1 int8", "F1 float32"]
    rows = []
    for name, int8 in both[INT8]["per_class"].items():
        cells = [str(int8[view.count_field]), *(f"{int8[field]:.3f}" for field in ("precision", "recall", "f1"))]
        cells.append(f"{both[FLOAT32]['per_class'][name]['f1']:.3f}")
        rows.append((name, cells + [figure.text(int8[figure.name]) for figure in view.class_columns]))
    return {"head": head + [figure.title for figure in view.class_columns], "rows": rows}


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
        raise BlockError(f"{path} cannot be read: {error.strerror}. The report needs this file.") from error


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
