"""Accuracy and loss on 2,062 real photos of hand signs: ten classes, default settings, stratified split 80/20.

    python benchmarks/sign_digits.py

There is no test split. The figures are those of the validation split, which also chose the epoch.
"""

from block_runs import run_block, shared_photos, table


def main() -> None:
    run = run_block(shared_photos("sign-digits"))
    images = run.metrics["data"]["validation"]["images"]
    rows = [["runtime", f"accuracy on {images} photos", "loss"]]
    for runtime in run.metrics["scores"]["validation"]:
        accuracy, loss = run.score("validation", runtime)
        rows.append([runtime, f"{accuracy:.1%}", f"{loss:.4f}"])
    table(rows)
    print(f"\n{run.seconds:.0f} s, peak memory {run.peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
