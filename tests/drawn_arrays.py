"""Draws block directories: coloured squares on noise, with class labels or with boxes."""

import json

import numpy as np

CLASSES = ["blue", "green", "red"]


def draw_squares(labels, size, seed, channels=3):
    # one bright square on a noisy background; its colour (in gray: its brightness) shows the class
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


def write_box_arrays(folder, images=40, size=48):
    # up to two bright squares in each image, blue or green, on a noisy background; labels in Studio's JSON format
    generator = np.random.default_rng(5)
    for split in ("train", "test"):
        features = generator.uniform(0, 0.4, (images, size, size, 3)).astype(np.float32)
        samples = []
        for number, image in enumerate(features):
            boxes = []
            for top in (4, 28)[: number % 3]:
                label, left = int(generator.integers(2)), int(generator.integers(0, size - 14))
                image[top : top + 12, left : left + 12, 2 - label] = 0.9
                boxes.append({"label": label + 1, "x": left, "y": top, "w": 12, "h": 12})
            samples.append({"sampleId": number, "boundingBoxes": boxes})
        np.save(folder / f"X_split_{split}.npy", features)
        (folder / f"Y_split_{split}.npy").write_text(json.dumps(samples))
    info = {"classes": CLASSES[:2], "mode": "object-detection", "inputShapeString": f"({size}, {size}, 3)"}
    (folder / "train_input.json").write_text(json.dumps(info))
    return folder
