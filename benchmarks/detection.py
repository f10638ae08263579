"""Objects found on real photos: blood cells and fruit, beside Edge Impulse's recipe re-implemented.

    python benchmarks/detection.py --seeds 3
    python benchmarks/detection.py --row "cells, ours" --seeds 1

Each set's own lists or folders split it. Epoch and threshold are chosen on validation photos; then the network learns
once more, from these too and through all epochs, and the test photos judge. F1 counts a truth as found when a predicted
centre of its class lies in its box, each once.
"""

from statistics import mean
from typing import Any

import click
from block_runs import BlockRun, run_block, shared_photos, table

EDGE_IMPULSE = (
    *("--loss", "edge-impulse", "--decode", "fuse", "--learning-rate", "0.001", "--batch-size", "32"),
    *("--cut", "block_6_expand"),
)
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # name: photos, script, options
    "cells, ours": ("bccd", "train.py", ()),
    "cells, Edge Impulse's recipe": ("bccd", "benchmarks/edge_impulse_recipe.py", EDGE_IMPULSE),
    "cells, fused": ("bccd", "train.py", ("--decode", "fuse")),
    "cells, 1/4 grid": ("bccd", "train.py", ("--cut", "block_3_expand")),
    "cells, 160 px": ("bccd", "train.py", ("--size", "160")),
    "cells, width 1.0": ("bccd", "train.py", ("--width", "1.0")),
    "cells, 160 px, width 1.0": ("bccd", "train.py", ("--size", "160", "--width", "1.0")),
    "fruit, ours": ("fruit", "train.py", ("--task", "detection")),
    "fruit, Edge Impulse's recipe": (
        "fruit",
        "benchmarks/edge_impulse_recipe.py",
        ("--task", "detection", *EDGE_IMPULSE),
    ),
}
SCORES_HEAD = ("run", "computed in", "F1", "by seed", "precision", "recall", "Edge Impulse's F1")
RUNS_HEAD = ("run", "most F1 lost to int8", "epochs", "thresholds", "arena KB", "streamed KB", "seconds")
RUNTIMES = {"float32": "torch", "int8": "tflm_int8"}


@click.command()
@click.option("--row", "names", type=click.Choice(list(ROWS)), multiple=True, help="Only these rows.  [default: all]")
@click.option("--seeds", type=int, default=3, show_default=True, help="Runs of each row.")
def main(names: tuple[str, ...], seeds: int) -> None:
    """Print what is found, float32 and int8, and what it takes: two tables for each row."""
    for name in names or ROWS:
        photos, script, options = ROWS[name]
        runs = [run_block(shared_photos(photos), *options, "--seed", str(seed), script=script) for seed in range(seeds)]
        show(name, runs)


def show(name: str, runs: list[BlockRun]) -> None:
    """Prints the means of a row's runs, each class with its F1 and by how many a photo's count is off."""
    classes = list(runs[0].metrics["scores"]["holdout"]["torch"]["per_class"])
    scores_table = [[*SCORES_HEAD, *(f"{label}: F1, count off by" for label in classes)]]
    for kind in RUNTIMES:
        scores = _scores(runs, kind)
        by_class = ([one["per_class"][label] for one in scores] for label in classes)
        scores_table.append(
            [
                name,
                kind,
                f"{_mean(scores, 'f1'):.3f}",
                " ".join(f"{one['f1']:.3f}" for one in scores),
                *(f"{_mean(scores, figure):.3f}" for figure in ("precision", "recall", "ei_f1")),
                *(f"{_mean(group, 'f1'):.3f}, {_mean(group, 'count_error'):.2f}" for group in by_class),
            ]
        )
    table(scores_table)
    footprint = runs[0].metrics["footprint"]
    lost = [
        exact["f1"] - rounded["f1"] for exact, rounded in zip(*(_scores(runs, kind) for kind in RUNTIMES), strict=True)
    ]
    row = [
        name,
        f"{max(lost):.3f}",
        " ".join(str(run.metrics["training"]["epoch"]) for run in runs),
        " ".join(f"{run.metrics['detection']['threshold']:g}" for run in runs),
        *(f"{size / 1024:.0f}" for size in (footprint["tflm_arena_bytes"], footprint["stream"]["ram_bytes"])),
        f"{mean(run.seconds for run in runs):.0f}",
    ]
    table([list(RUNS_HEAD), row])
    print(flush=True)


def _scores(runs: list[BlockRun], kind: str) -> list[dict[str, Any]]:
    return [run.metrics["scores"]["holdout"][RUNTIMES[kind]] for run in runs]


def _mean(scores: list[dict[str, Any]], figure: str) -> float:
    return mean(one[figure] for one in scores)


if __name__ == "__main__":
    main()
