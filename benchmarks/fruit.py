"""Accuracy and loss on real photos of fruit: official split of 240 and 60, default settings, seeds 0 to 4.

    python benchmarks/fruit.py

The 60 test photos are the holdout split. They choose neither an epoch nor a setting.
"""

from statistics import mean

import click
from block_runs import BlockRun, run_block, shared_photos, table

SEEDS = tuple(range(5))
# published or measured by others, on the same photos: name, accuracy, loss
BASELINES = (
    ("the network that this project is based on: frozen, float32, 224 px, random split 270/30", "76.67 %", "0.7547"),
    ("the same, repeated with three random splits", "80.0 %", "0.750"),
    ("96 px, width 1.0 pretrained, frozen", "81.7 %", "0.873"),
    ("96 px, width 0.35, random start, last epoch", "89.4 %", "0.265"),
    ("by others: full frozen MobileNetV2, 150 px, augmentation", "91.67 %", ""),
    ("96 px, width 1.0 pretrained, all trained, last epoch", "93.3 %", "0.161"),
    ("96 px, width 0.35 pretrained, all trained, last epoch", "94.4 %", "0.139"),
)


@click.command()
@click.option("--seed", "seeds", type=int, multiple=True, default=SEEDS, show_default=True, help="Seed of a run.")
def main(seeds: tuple[int, ...]) -> None:
    """Print accuracy and loss on the test photos, next to the baselines."""
    photos = shared_photos("fruit")
    runs = [run_block(photos, "--labels-from", "name", "--seed", str(seed)) for seed in seeds]
    rows = [
        ["run", "accuracy", "loss", "int8 accuracy", "int8 loss", "errors float32 / int8 of 60", "seconds", "peak MB"]
    ]
    rows += [[name, accuracy, loss, "", "", "", "", ""] for name, accuracy, loss in BASELINES]
    rows += [_row(f"this project, seed {seed}", [run]) for seed, run in zip(seeds, runs, strict=True)]
    rows.append(_row("this project, mean", runs))
    table(rows)
    print()
    stages = runs[0].metrics["timings"]["seconds"]
    table([["stage", *stages], ["median seconds", *(f"{_median(runs, name):.1f}" for name in stages)]])


def _row(name: str, runs: list[BlockRun]) -> list[str]:
    float32 = [run.score("holdout", "torch") for run in runs]
    int8 = [run.score("holdout", "tflm_int8") for run in runs]
    errors = [f"{mean((1 - accuracy) * 60 for accuracy, _ in scores):.3g}" for scores in (float32, int8)]
    figures = [
        text
        for scores in (float32, int8)
        for text in (f"{mean(a for a, _ in scores):.1%}", f"{mean(loss for _, loss in scores):.4f}")
    ]
    return [
        name,
        *figures,
        " / ".join(errors),
        f"{mean(run.seconds for run in runs):.0f}",
        f"{max(run.peak_mb for run in runs):.0f}",
    ]


def _median(runs: list[BlockRun], stage: str) -> float:
    return sorted(run.metrics["timings"]["seconds"][stage] for run in runs)[len(runs) // 2]


if __name__ == "__main__":
    main()
