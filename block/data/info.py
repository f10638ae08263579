"""Settings in train_input.json that this block does not follow, each with a warning for the log."""

from typing import Any

from block.data.contract import INFO_FILE
from esp32_deploy.words import Task

LABEL_FORMS: dict[Task, str] = {"classification": "npy", "detection": "structured"}
"""train_input.json's `yType` for each task."""
LAST_LAYER = "fomo"
# what a project may ask for, and what this block answers
UNSUPPORTED = {
    "syntiantTarget": "This block makes no model for Syntiant's processors.",
    "akidaModel": "This block makes no model for BrainChip's Akida.",
    "akidaEdgeModel": "This block makes no model for BrainChip's Akida.",
    "tensorboardLogging": "This block writes no TensorBoard logs. history.csv has the figures of every epoch.",
}


def input_shape(info: dict[str, Any]) -> tuple[int, ...]:
    """The numbers of `inputShapeString`, such as (96, 96, 3); empty when it is missing or has another form."""
    text = str(info.get("inputShapeString", "")).strip("() ")
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        return ()


def max_training_seconds(info: dict[str, Any]) -> float | None:
    """The project's time limit in seconds; None when there is none, or none that is a number."""
    try:
        seconds = float(info.get("maxTrainingTimeSeconds") or 0)
    except (TypeError, ValueError):
        return None
    return seconds if seconds > 0 else None


def info_warnings(info: dict[str, Any], task: Task, shape: tuple[int, ...]) -> tuple[str, ...]:
    """One line for each setting of `info` that contradicts the data or that this block does not follow.

    `task` and `shape` (H, W, C) are those of the arrays. Fields that only concern Studio's own work, such as
    `profileInt8`, and fields that are unknown give no line.
    """
    checks = (
        _shape_warning(info, shape),
        _form_warning(info, task),
        _last_layer_warning(info, task),
        _limit_warning(info),
    )
    unsupported = (f"{INFO_FILE} has {name}. {answer}" for name, answer in UNSUPPORTED.items() if info.get(name))
    return (*filter(None, checks), *unsupported)


def _shape_warning(info: dict[str, Any], shape: tuple[int, ...]) -> str | None:
    named = input_shape(info)
    if len(named) != len(shape) or named == shape:
        return None
    return (
        f"{INFO_FILE} has inputShapeString {named}, but the arrays hold images of {shape}. If the file belongs to "
        "other data, its class names are wrong too."
    )


def _form_warning(info: dict[str, Any], task: Task) -> str | None:
    form = info.get("yType")
    if form is None or form == LABEL_FORMS[task]:
        return None
    return f"{INFO_FILE} has yType {form!r}, but the label files are for {task}. The label files count."


def _last_layer_warning(info: dict[str, Any], task: Task) -> str | None:
    last_layer = info.get("objectDetectionLastLayer")
    if task != "detection" or last_layer is None or last_layer == LAST_LAYER:
        return None
    return (
        f"{INFO_FILE} has objectDetectionLastLayer {last_layer!r}, but this block's models have FOMO's output. "
        f"Studio reads it correctly only if the block was pushed with objectDetectionLastLayer {LAST_LAYER!r}."
    )


def _limit_warning(info: dict[str, Any]) -> str | None:
    limit = info.get("maxTrainingTimeSeconds")
    if not limit or max_training_seconds(info) is not None:
        return None
    return f"{INFO_FILE} has maxTrainingTimeSeconds {limit!r}, which is not a time. Training has no time limit."
