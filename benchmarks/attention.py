"""Left or right: a drawn task that asks for an object's place among the others, with and without self-attention.

    python benchmarks/attention.py

Each image shows a green and a blue cube, their centres more than 40 px apart. The green one is called "left" or "right"
by where it is beside the blue one; both happen at every place in the image, so that no place tells. A cell of plain
FOMO sees 59 px, less than 30 to each side, and can only guess. Half an hour.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from block_runs import run_block, table

SIZE_PX, CUBE_PX = 128, 11
IMAGES = {"split_train": 800, "split_test": 150, "holdout": 150}
CLASSES = ("left", "right")
DISTANCE_PX = (41, 48)


def main() -> None:
    rows = [["network", "float32 F1", "int8 F1", "int8 left", "int8 right", "arena KB", "seconds"]]
    with tempfile.TemporaryDirectory() as folder:
        write_task(Path(folder), seed=1)
        for name, attention in (("plain FOMO", "0"), ("with self-attention", "1")):
            run = run_block(
                # a mirrored image would need the other label
                *(Path(folder), "--augment", "0", "--attention", attention, "--epochs", "30", "--batch-size", "16")
            )
            float32, int8 = (run.metrics["scores"]["holdout"][runtime] for runtime in ("torch", "tflm_int8"))
            by_class = [f"{int8['per_class'][label]['f1']:.3f}" for label in CLASSES]
            arena = f"{run.metrics['footprint']['tflm_arena_bytes'] / 1024:.0f}"
            rows.append([name, f"{float32['f1']:.3f}", f"{int8['f1']:.3f}", *by_class, arena, f"{run.seconds:.0f}"])
    table(rows)


def write_task(folder: Path, seed: int) -> None:
    """Draws a block directory for detection."""
    generator = np.random.default_rng(seed)
    for split, count in IMAGES.items():
        drawn = [draw(generator) for _ in range(count)]
        np.save(folder / f"X_{split}.npy", np.stack([image for image, _ in drawn]))
        samples = [{"sampleId": number, "boundingBoxes": [box]} for number, (_, box) in enumerate(drawn, start=1)]
        (folder / f"Y_{split}.npy").write_text(json.dumps(samples))
    info = {"classes": CLASSES, "mode": "object-detection", "inputShapeString": f"({SIZE_PX}, {SIZE_PX}, 3)"}
    (folder / "train_input.json").write_text(json.dumps(info))


def draw(generator: np.random.Generator) -> tuple[np.ndarray, dict[str, int]]:
    """An image (128, 128, 3) float32 0..1, and the box of its green cube."""
    image = generator.uniform(0.2, 0.5, 3) + generator.normal(0, 0.04, (SIZE_PX, SIZE_PX, 3))
    half = CUBE_PX // 2
    room = half + DISTANCE_PX[1] + 1
    x, (y, other_y) = int(generator.integers(room, SIZE_PX - room)), generator.integers(half, SIZE_PX - half, 2)
    label = int(generator.integers(2))
    # left of the blue cube means that the blue one is to the right
    other_x = x + int(generator.integers(*DISTANCE_PX)) * (1 if label == 0 else -1)
    for center, channel in (((x, y), 1), ((other_x, other_y), 2)):
        left, top = (int(place) - half for place in center)
        image[top : top + CUBE_PX, left : left + CUBE_PX, channel] += 0.45
    box = {"label": label + 1, "x": x - half, "y": int(y) - half, "w": CUBE_PX, "h": CUBE_PX}
    return np.clip(image, 0, 1).astype(np.float32), box


if __name__ == "__main__":
    main()
