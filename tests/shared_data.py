"""The folder shared/data beside the project: real photos, weights and test models. It may be missing."""

from pathlib import Path

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
