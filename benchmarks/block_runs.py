"""Runs train.py in its own process, as a user does, and reads its metrics."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class BlockRun:
    """metrics.json of a run, its duration in seconds and its peak resident memory in MB."""

    metrics: dict[str, Any]
    seconds: float
    peak_mb: float

    def score(self, split: str, runtime: str) -> tuple[float, float]:
        """Accuracy and loss of a runtime on a split."""
        scores = self.metrics["scores"][split][runtime]
        return scores["accuracy"], scores["loss"]


def run_block(data: Path, *options: str, script: str = "train.py") -> BlockRun:
    """Trains on `data` with the given command-line options.

    ImageNet weights come from $BLOCK_WEIGHTS, or else from shared/data/weights beside the project. Without weights the
    program ends with a message, because results from random weights cannot be compared.
    """
    environment = {"BLOCK_WEIGHTS": str(SHARED_DATA / "weights")} | os.environ
    weights = Path(environment["BLOCK_WEIGHTS"])
    if not any(weights.glob("*.pt")):
        raise SystemExit(f"This benchmark needs ImageNet weights. {weights} contains none. Set BLOCK_WEIGHTS.")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / script), "--data-directory", str(data), "--out-directory", folder]
        start = time.monotonic()
        process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.PIPE, text=True)
        output, _ = process.communicate()
        seconds = time.monotonic() - start
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{output}")
        metrics = json.loads((Path(folder) / "metrics.json").read_text())
    return BlockRun(metrics, seconds, metrics["timings"]["peak_memory_mb"])


def shared_photos(name: str) -> Path:
    """A folder of real photos beside the project. If it does not exist, the program ends with a message."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        raise SystemExit(f"This benchmark needs the photos in {folder}.")
    return folder


def table(rows: list[list[str]]) -> None:
    """Prints a Markdown table. The first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
