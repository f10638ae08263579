import json
import os
from pathlib import Path

import numpy as np
import pytest

import block  # noqa: F401  before any test imports torch: it sets how torch's threads wait

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CLASSES = ["blue", "green", "red"]


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder shared/data with real photos and weights is not beside the project")
    return SHARED_DATA


def toolchain(name):
    """A target of esp32_deploy.simulate; skips where its tools are missing, unless REQUIRE_TOOLCHAINS is set."""
    from esp32_deploy.simulate import TARGETS

    target = TARGETS[name]
    if target.missing and not os.environ.get("REQUIRE_TOOLCHAINS"):
        pytest.skip(f"{' and '.join(target.missing)} missing; on Debian install {target.packages}")
    return target


def draw_squares(labels, size, seed, channels=3):
    # a bright square of the class's colour (or, in gray, of its brightness) on a noisy background
    generator = np.random.default_rng(seed)
    images = generator.uniform(0, 0.4, (len(labels), size, size, channels)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        top, left = generator.integers(4, size // 2, 2)
        patch = image[top : top + size // 3, left : left + size // 3]
        patch[...] = (0.3 + 0.3 * label) if channels == 1 else np.eye(3, dtype=np.float32)[2 - label] * 0.9
    return images


def write_arrays(directory, *, size=48, images=30, channels=3, holdout=0, seed=0, **info):
    directory.mkdir(parents=True, exist_ok=True)
    counts = {"split_train": images, "split_test": images // 3} | ({"holdout": holdout} if holdout else {})
    for number, (name, count) in enumerate(counts.items()):
        labels = np.arange(count) % 3
        np.save(directory / f"X_{name}.npy", draw_squares(labels, size, seed + number, channels))
        np.save(directory / f"Y_{name}.npy", np.eye(3, dtype=np.float32)[labels])
    (directory / "train_input.json").write_text(json.dumps({"classes": CLASSES, "mode": "classification", **info}))
    return directory


@pytest.fixture
def block_directory(tmp_path):
    return write_arrays(tmp_path / "data")
