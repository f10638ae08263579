"""Detection on real photos of blood cells and of fruit, compared with a re-implementation of Edge Impulse's recipe.

    python benchmarks/detection.py --seeds 3
    python benchmarks/detection.py --row "cells, ours" --seeds 1

Each data set defines its splits by lists or folders. The validation photos choose the epoch and the threshold. Then the
network is trained again for all epochs, on the training and the validation photos, and the test photos score it. A true
object counts as found if the centre of a detection of its class lies in its box. Each detection is used once.
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
RUNS_HEAD = ("run", "most F1 lost to int8", "epochs", "shifts by class", "arena KB", "streamed KB", "seconds")
RUNTIMES = {"float32": "torch", "int8": "tflm_int8"}


@click.command()
@click.option("--row", "names", type=click.Choice(list(ROWS)), multiple=True, help="Run this row only.  [default: all]")
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of runs for each row.")
def main(names: tuple[str, ...], seeds: int) -> None:
    """Print two tables for each row: the scores in float32 and int8, and the cost of the runs."""
    for name in names or ROWS:
        photos, script, options = ROWS[name]
        runs = [run_block(shared_photos(photos), *options, "--seed", str(seed), script=script) for seed in range(seeds)]
        show(name, runs)


def show(name: str, runs: list[BlockRun]) -> None:
    """Prints the means of a row's runs. Each class has its F1 and the mean counting error per photo."""
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
        "; ".join(" ".join(f"{shift:.1f}" for shift in run.metrics["detection"]["shifts"].values()) for run in runs),
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
