"""Objects found on real photos: blood cells and fruit, beside Edge Impulse's recipe re-implemented.

    python benchmarks/detection.py --seeds 3
    python benchmarks/detection.py --row "cells, ours" --seeds 1

Each set's own lists or folders split it. Epoch and threshold are chosen on validation photos; then the network learns
once more, from these too and through all epochs, and the test photos judge. F1 counts a truth as found when a predicted
centre of its class lies in its box, each once.
"""

from statistics import mean

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
HEAD = (
    "run",
    "float32 F1",
    "int8 F1",
    "most lost",
    "int8 precision",
    "int8 recall",
    "Edge Impulse's F1",
    "int8 F1 and counting error by class",
    "epochs",
    "thresholds",
    "arena KB",
    "streamed KB",
    "seconds",
)


@click.command()
@click.option("--row", "names", type=click.Choice(list(ROWS)), multiple=True, help="Only these rows.  [default: all]")
@click.option("--seeds", type=int, default=3, show_default=True, help="Runs of each row.")
def main(names: tuple[str, ...], seeds: int) -> None:
    """Print a table of what is found, float32 and int8."""
    rows = [list(HEAD)]
    for name in names or ROWS:
        photos, script, options = ROWS[name]
        runs = [run_block(shared_photos(photos), *options, "--seed", str(seed), script=script) for seed in range(seeds)]
        rows.append(_row(f"{name} ({seeds} seeds)", runs))
        print(" | ".join(rows[-1]), flush=True)
    print()
    table(rows)


def _row(name: str, runs: list[BlockRun]) -> list[str]:
    float32, int8 = ([run.metrics["scores"]["holdout"][runtime] for run in runs] for runtime in ("torch", "tflm_int8"))
    by_class = {
        label: (
            mean(scores["per_class"][label]["f1"] for scores in int8),
            mean(scores["per_class"][label]["count_error"] for scores in int8),
        )
        for label in int8[0]["per_class"]
    }
    footprint = runs[0].metrics["footprint"]
    return [
        name,
        *(f"{mean(scores['f1'] for scores in group):.3f}" for group in (float32, int8)),
        f"{max(one['f1'] - other['f1'] for one, other in zip(float32, int8, strict=True)):.3f}",
        *(f"{mean(scores[figure] for scores in int8):.3f}" for figure in ("precision", "recall", "ei_f1")),
        ", ".join(f"{label} {f1:.3f} {error:.2f}" for label, (f1, error) in by_class.items()),
        " ".join(str(run.metrics["training"]["epoch"]) for run in runs),
        " ".join(f"{run.metrics['detection']['threshold']:g}" for run in runs),
        *(f"{size / 1024:.0f}" for size in (footprint["tflm_arena_bytes"], footprint["stream"]["ram_bytes"])),
        f"{mean(run.seconds for run in runs):.0f}",
    ]


if __name__ == "__main__":
    main()
