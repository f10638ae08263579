"""Reads and checks deploy.json, the manifest: the facts about a model that the .tflite does not contain.

Without one, labels.txt gives the labels.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from esp32_deploy.errors import DeployError
from esp32_deploy.files import read_text
from esp32_deploy.pixels import RESIZE_MODES
from esp32_deploy.words import COLOUR_CHANNELS, DECODES, TASKS, Decode, Task

VERSION = 1
FILE_NAME = "deploy.json"
LABELS_FILE_NAME = "labels.txt"
NUMBERED_LABEL = re.compile(r"(\d+)[\s:,;]+(\S.*)")


class ManifestError(DeployError):
    """The manifest cannot be read, or holds an invalid value."""


@dataclass(frozen=True)
class Manifest:
    """The fields of deploy.json; None if a field is absent. Raises ManifestError for invalid values."""

    name: str | None = None
    """Name of the library."""
    task: Task | None = None
    labels: tuple[str, ...] | None = None
    """In the order of the model's outputs, without background."""
    colour: str | None = None
    """rgb or grayscale."""
    resize: str | None = None
    """How images were made square: squash, crop or fit."""
    threshold: float | None = None
    """Confidence threshold: below it the answer is "not sure", or there is no object."""
    decode: Decode | None = None
    """How a grid becomes objects, as in training: peaks or fuse."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Measured values, such as accuracy, loss, f1, split, images, macs."""

    def __post_init__(self) -> None:
        _check_choice("task", self.task, TASKS)
        _check_choice("colour", self.colour, tuple(COLOUR_CHANNELS))
        _check_choice("resize", self.resize, RESIZE_MODES)
        _check_choice("decode", self.decode, DECODES)
        if self.name is not None and not isinstance(self.name, str):
            raise ManifestError(f"name is {self.name!r}. A text is expected.")
        if self.threshold is not None and not _is_share(self.threshold):
            raise ManifestError(f"threshold is {self.threshold!r}. Choose more than 0 and at most 1, such as 0.6.")
        if not isinstance(self.figures, dict):
            raise ManifestError(f"figures is {self.figures!r}. Names and numbers are expected.")
        if self.labels is not None:
            _check_labels(self.labels)

    def as_dict(self) -> dict[str, Any]:
        """The manifest as plain values for deploy.json, which `read` reads."""
        values = {name: getattr(self, name) for name in FIELDS}
        values["labels"] = None if self.labels is None else list(self.labels)
        if self.task == "classification":
            del values["decode"]
        return {"version": VERSION, **values}


FIELDS = tuple(Manifest.__dataclass_fields__)


def read(path: Path) -> Manifest:
    """Reads a deploy.json. Unknown fields are ignored. Raises ManifestError or EncodingError, which name the file."""
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise ManifestError(f"There is no {path}.") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ManifestError(f"{path} is not a JSON object of names and values. Check that it is a {FILE_NAME}.")
    if values.get("version", VERSION) != VERSION:
        raise ManifestError(f"{path} has version {values['version']!r}. Only version {VERSION} can be read.")
    known = {name: values[name] for name in FIELDS if values.get(name) is not None}
    if "labels" in known:
        known["labels"] = tuple(known["labels"]) if isinstance(known["labels"], list) else known["labels"]
    try:
        return Manifest(**known)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def beside(model: Path) -> Manifest:
    """The manifest beside a model: from deploy.json, else from labels.txt, else empty."""
    path, labels = model.parent / FILE_NAME, model.parent / LABELS_FILE_NAME
    if path.exists():
        return read(path)
    if labels.exists():
        return Manifest(labels=read_labels(labels))
    return Manifest()


def read_labels(path: Path) -> tuple[str, ...]:
    """Labels of a text file, one per line. Empty lines are ignored.

    Numbers in front of all labels that count from 0, as Teachable Machine writes them, are left out. Raises
    ManifestError or EncodingError, which name the file.
    """
    try:
        lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}.") from error
    if not lines:
        raise ManifestError(f"{path} has no labels. Write one label on each line, in the order of the model's outputs.")
    labels = _without_numbers(lines, path)
    try:
        _check_labels(labels)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error
    return labels


def _without_numbers(lines: list[str], path: Path) -> tuple[str, ...]:
    found = [match for line in lines if (match := NUMBERED_LABEL.fullmatch(line))]
    numbers = [int(match[1]) for match in found]
    if sorted(numbers) != list(range(len(lines))):
        return tuple(lines)  # numbers such as in "1 euro", "2 euro" are part of the labels
    if numbers != sorted(numbers):
        raise ManifestError(
            f"{path} numbers its labels, but not in order. Sort its lines by number if these are the model's outputs; "
            "else remove the numbers."
        )
    return tuple(match[2] for match in found)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ManifestError(f"{name} is {value!r}. Choose from {', '.join(choices)}.")


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
        raise ManifestError(f"labels is {labels!r}. A list of texts is expected.")
    for label in labels:
        if not label.strip() or not label.isprintable():
            raise ManifestError(f"label {label!r} is empty, or has unprintable characters.")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ManifestError(f"label {repeated[0]!r} occurs twice. Every class needs its own name.")


def _is_share(value: Any) -> bool:
    return isinstance(cast(object, value), int | float) and not isinstance(value, bool) and 0 < value <= 1
