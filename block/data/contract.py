"""What the files of block directories and output folders are called, and how they are put there whole.

A block directory holds X_split_train.npy, Y_split_train.npy, X_split_test.npy and Y_split_test.npy, where "test"
is Studio's validation split, and optionally train_input.json, sample_id_details.json and a holdout split.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from block.errors import BlockError
from esp32_deploy.files import replacing
from esp32_deploy.manifest import FILE_NAME as DEPLOY_FILE_NAME
from esp32_deploy.manifest import LABELS_FILE_NAME
from esp32_deploy.words import Task

# train_input.json's words for them
MODES: dict[Task, str] = {"classification": "classification", "detection": "object-detection"}

FEATURE_FILES = {"train": "X_split_train.npy", "validation": "X_split_test.npy", "holdout": "X_holdout.npy"}
LABEL_FILES = {"train": "Y_split_train.npy", "validation": "Y_split_test.npy", "holdout": "Y_holdout.npy"}
INFO_FILE = "train_input.json"
SAMPLE_IDS_FILE = "sample_id_details.json"
PHOTOS_FILE = "photos.json"

# what a run writes beside prepared photos, and what its conversion needs of the folder for temporary files
LEAST_FREE_BYTES = 50 * 1024 * 1024


@dataclass(frozen=True)
class Outputs:
    """The files of one run, by the names that Studio and the other tools look for."""

    directory: Path

    @property
    def onnx(self) -> Path:
        return self.directory / "model.onnx"

    @property
    def tflite_float32(self) -> Path:
        return self.directory / "model.tflite"

    @property
    def tflite_int8(self) -> Path:
        return self.directory / "model_quantized_int8_io.tflite"

    @property
    def weights(self) -> Path:
        return self.directory / "weights.pt"

    @property
    def labels(self) -> Path:
        return self.directory / LABELS_FILE_NAME

    @property
    def settings(self) -> Path:
        return self.directory / "settings.json"

    @property
    def metrics(self) -> Path:
        return self.directory / "metrics.json"

    @property
    def deploy(self) -> Path:
        return self.directory / DEPLOY_FILE_NAME

    @property
    def history(self) -> Path:
        return self.directory / "history.csv"

    @property
    def predictions(self) -> Path:
        return self.directory / "predictions.csv"

    @property
    def report(self) -> Path:
        return self.directory / "report.html"

    @property
    def prepared(self) -> Path:
        return self.directory / "prepared"

    def library(self, name: str) -> Path:
        """The Arduino library's zip."""
        return self.directory / f"{name}.zip"

    @property
    def made_from_weights(self) -> tuple[Path, ...]:
        """What is out of date as soon as weights.pt changes, beside the Arduino library."""
        return (
            self.onnx,
            self.tflite_float32,
            self.tflite_int8,
            self.labels,
            self.metrics,
            self.deploy,
            self.predictions,
            self.report,
        )


def make_folder(directory: Path) -> None:
    """Makes a folder and tries to write there; raises BlockError, before any work, when that fails."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        trial = directory / ".writable"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise BlockError(
            f"Nothing can be written to {directory}: {error.strerror}. Choose another folder or change its permissions."
        ) from error


def check_free_space(directory: Path) -> None:
    """Refuses, before any work, an output folder or one for temporary files that is too full."""
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise BlockError(
            "There is no writable folder for temporary files. With docker run --read-only add --tmpfs /tmp; "
            "elsewhere set TMPDIR to a folder."
        ) from None
    for folder, remedy in ((directory, "choose another --out-directory"), (temporary, "set TMPDIR to another folder")):
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < LEAST_FREE_BYTES:
            raise BlockError(
                f"{folder} has {free_bytes >> 20} MB of free space, a run needs "
                f"{LEAST_FREE_BYTES >> 20} MB: free some or {remedy}."
            )


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises BlockError that names it when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BlockError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:
        raise BlockError(f"{path} cannot be read as JSON: {error}.") from error


def is_block_directory(directory: Path) -> bool:
    """True when any of the contract's arrays lies in the folder."""
    return any((directory / name).exists() for name in (*FEATURE_FILES.values(), *LABEL_FILES.values()))
