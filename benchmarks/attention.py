"""Left or right: a drawn task in which an object's position relative to another decides, with and without attention.

    python benchmarks/attention.py

Each image shows a green and a blue cube. Their centres are more than 40 px apart. The green cube's label, "left" or
"right", says on which side of the blue cube it is. Both labels are possible at every position in the image. The
receptive field of plain FOMO is 59 px, less than 30 px to each side, so it can only guess. Takes half an hour.
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
                # no augmentation, because a mirrored image needs the other label
                *(Path(folder), "--augment", "0", "--attention", attention, "--epochs", "30", "--batch-size", "16")
            )
            float32, int8 = (run.metrics["scores"]["holdout"][runtime] for runtime in ("torch", "tflm_int8"))
            by_class = [f"{int8['per_class'][label]['f1']:.3f}" for label in CLASSES]
            arena = f"{run.metrics['footprint']['tflm_arena_bytes'] / 1024:.0f}"
            rows.append([name, f"{float32['f1']:.3f}", f"{int8['f1']:.3f}", *by_class, arena, f"{run.seconds:.0f}"])
    table(rows)


def write_task(folder: Path, seed: int) -> None:
    """Draws images with boxes and writes them as a block directory."""
    generator = np.random.default_rng(seed)
    for split, count in IMAGES.items():
        drawn = [draw(generator) for _ in range(count)]
        np.save(folder / f"X_{split}.npy", np.stack([image for image, _ in drawn]))
        samples = [{"sampleId": number, "boundingBoxes": [box]} for number, (_, box) in enumerate(drawn, start=1)]
        (folder / f"Y_{split}.npy").write_text(json.dumps(samples))
    info = {"classes": CLASSES, "mode": "object-detection", "inputShapeString": f"({SIZE_PX}, {SIZE_PX}, 3)"}
    (folder / "train_input.json").write_text(json.dumps(info))


def draw(generator: np.random.Generator) -> tuple[np.ndarray, dict[str, int]]:
    """Draws an image (128, 128, 3) float32 0..1. Returns it with the box of its green cube."""
    image = generator.uniform(0.2, 0.5, 3) + generator.normal(0, 0.04, (SIZE_PX, SIZE_PX, 3))
    half = CUBE_PX // 2
    room = half + DISTANCE_PX[1] + 1
    x, (y, other_y) = int(generator.integers(room, SIZE_PX - room)), generator.integers(half, SIZE_PX - half, 2)
    label = int(generator.integers(2))
    # if the green cube is "left", the blue one is on its right
    other_x = x + int(generator.integers(*DISTANCE_PX)) * (1 if label == 0 else -1)
    for center, channel in (((x, y), 1), ((other_x, other_y), 2)):
        left, top = (int(place) - half for place in center)
        image[top : top + CUBE_PX, left : left + CUBE_PX, channel] += 0.45
    box = {"label": label + 1, "x": x - half, "y": int(y) - half, "w": CUBE_PX, "h": CUBE_PX}
    return np.clip(image, 0, 1).astype(np.float32), box


if __name__ == "__main__":
    main()
