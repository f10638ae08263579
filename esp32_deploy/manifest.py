"""deploy.json: what a board must know beside the model. What it says, read and checked."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from esp32_deploy.errors import DeployError
from esp32_deploy.pixels import RESIZE_MODES
from esp32_deploy.words import COLOUR_CHANNELS, DECODES, TASKS, Decode, Task

VERSION = 1
FILE_NAME = "deploy.json"
LABELS_FILE_NAME = "labels.txt"


class ManifestError(DeployError):
    """A manifest that cannot be read, or that says something impossible."""


@dataclass(frozen=True)
class Manifest:
    """What deploy.json says; None where it says nothing. Raises ManifestError for impossible values."""

    name: str | None = None
    """Of the library."""
    task: Task | None = None
    labels: tuple[str, ...] | None = None
    """In the order of the model's outputs, background left out."""
    colour: str | None = None
    """rgb or grayscale."""
    resize: str | None = None
    """How images were made square: squash, crop or fit."""
    threshold: float | None = None
    """Probability below which the answer is "not sure", or below which there is no object."""
    decode: Decode | None = None
    """How a grid becomes objects, as it was trained to: peaks or fuse."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured: accuracy, loss, f1, split, images, macs and the like."""

    def __post_init__(self) -> None:
        _check_choice("task", self.task, TASKS)
        _check_choice("colour", self.colour, tuple(COLOUR_CHANNELS))
        _check_choice("resize", self.resize, RESIZE_MODES)
        _check_choice("decode", self.decode, DECODES)
        if self.name is not None and not isinstance(self.name, str):
            raise ManifestError(f"name is {self.name!r}; a text is expected.")
        if self.threshold is not None and not _is_share(self.threshold):
            raise ManifestError(f"threshold is {self.threshold!r}; choose more than 0 and at most 1, such as 0.6.")
        if not isinstance(self.figures, dict):
            raise ManifestError(f"figures is {self.figures!r}; names and numbers are expected.")
        if self.labels is not None:
            _check_labels(self.labels)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for deploy.json; `read` reads them back."""
        values = {name: getattr(self, name) for name in FIELDS}
        values["labels"] = None if self.labels is None else list(self.labels)
        if self.task == "classification":
            del values["decode"]
        return {"version": VERSION, **values}


FIELDS = tuple(Manifest.__dataclass_fields__)


def read(path: Path) -> Manifest:
    """Reads a deploy.json; raises ManifestError, which names the file. Fields of later versions are left out."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ManifestError(f"There is no {path}.") from error
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ManifestError(f"{path} holds no object of names and values; is it a {FILE_NAME}?")
    if values.get("version", VERSION) != VERSION:
        raise ManifestError(f"{path} is of version {values['version']!r}; version {VERSION} is understood.")
    known = {name: values[name] for name in FIELDS if values.get(name) is not None}
    if "labels" in known:
        known["labels"] = tuple(known["labels"]) if isinstance(known["labels"], list) else known["labels"]
    try:
        return Manifest(**known)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def beside(model: Path) -> Manifest:
    """What lies beside a model: deploy.json, else the lines of labels.txt, else nothing."""
    path, labels = model.parent / FILE_NAME, model.parent / LABELS_FILE_NAME
    if path.exists():
        return read(path)
    if labels.exists():
        return Manifest(labels=read_labels(labels))
    return Manifest()


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line; empty lines do not count."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}.") from error
    return tuple(line.strip() for line in lines if line.strip())


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ManifestError(f"{name} is {value!r}; choose from {', '.join(choices)}.")


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
        raise ManifestError(f"labels is {labels!r}; a list of texts is expected.")
    for label in labels:
        if not label.strip() or not label.isprintable():
            raise ManifestError(f"label {label!r} is empty, or has characters that cannot be printed.")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ManifestError(f"label {repeated[0]!r} stands twice; every class needs a name of its own.")


def _is_share(value: Any) -> bool:
    return isinstance(cast(object, value), int | float) and not isinstance(value, bool) and 0 < value <= 1
