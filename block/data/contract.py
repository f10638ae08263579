"""File names of block directories and output folders, JSON files, and checks of output folders.

A block directory holds X_split_train.npy, Y_split_train.npy, X_split_test.npy and Y_split_test.npy. "test" in these
names is Studio's validation split. train_input.json, sample_id_details.json and a holdout split are optional.
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

# the value of "mode" in train_input.json for each task
MODES: dict[Task, str] = {"classification": "classification", "detection": "object-detection"}

FEATURE_FILES = {"train": "X_split_train.npy", "validation": "X_split_test.npy", "holdout": "X_holdout.npy"}
LABEL_FILES = {"train": "Y_split_train.npy", "validation": "Y_split_test.npy", "holdout": "Y_holdout.npy"}
INFO_FILE = "train_input.json"
SAMPLE_IDS_FILE = "sample_id_details.json"
PHOTOS_FILE = "photos.json"

# A run writes this much beside the prepared photos. The conversion needs as much in the folder for temporary files.
LEAST_FREE_BYTES = 50 * 1024 * 1024


@dataclass(frozen=True)
class Outputs:
    """The files of one run, with the names that Studio and the other tools expect."""

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
        """The files that are out of date when weights.pt changes. The Arduino library is too, but is not listed."""
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
    """Makes a folder and writes a test file there. Raises BlockError if that fails. Call it before any work."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        trial = directory / ".writable"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise BlockError(
            f"Cannot write to {directory}: {error.strerror}. Choose another folder or change its permissions."
        ) from error


def check_free_space(directory: Path) -> None:
    """Checks the free space of the output folder and of the folder for temporary files. Call it before any work.

    Raises BlockError if one of them has less than LEAST_FREE_BYTES, or if there is no folder for temporary files.
    """
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise BlockError(
            "There is no writable folder for temporary files. With docker run --read-only, add --tmpfs /tmp. "
            "Elsewhere, set TMPDIR to a writable folder."
        ) from None
    for folder, remedy in ((directory, "choose another --out-directory"), (temporary, "set TMPDIR to another folder")):
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < LEAST_FREE_BYTES:
            raise BlockError(
                f"{folder} has {free_bytes >> 20} MB of free space, but a run needs {LEAST_FREE_BYTES >> 20} MB. "
                f"Free some space, or {remedy}."
            )


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON. If writing fails, an earlier file stays as it was."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """`value` as indented JSON, the content of a file of this block."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises BlockError if it is missing, a pipe or not JSON, or if a key has two values."""
    if path.exists() and not path.is_file():
        raise BlockError(f"{path} is not a file. Replace it by a JSON file.")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except FileNotFoundError:
        raise BlockError(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BlockError(f"{path} cannot be read as JSON: {error}.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        for key, value in pairs:
            if fields[key] != value:
                raise ValueError(f"{key!r} occurs twice with different values")
    return fields


def is_block_directory(directory: Path) -> bool:
    """True if the folder holds any feature or label file of a block directory."""
    return any((directory / name).exists() for name in (*FEATURE_FILES.values(), *LABEL_FILES.values()))
