"""Damages models and data directories at random, and checks that each ends in a clear error or a right answer.

    python benchmarks/damage.py models --count 10000
    python benchmarks/damage.py directories --count 1000

A case may take 10 s of processor time and 2 GB. A crash, a hang, an error that does not come from this project and a
wrong answer are findings; --keep keeps their inputs. The same seed gives the same cases. `--first` repeats one.
"""

import hashlib
import io
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import damaged_directories
import damaged_models
from block_runs import SHARED_DATA

from block.data.reading import BlockData
from block.errors import BlockError
from esp32_deploy.errors import DeployError

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

SECONDS = 10.0
# Other work on the machine does not count against SECONDS, which are those of the processor.
HANG_SECONDS = 60.0
MEMORY_BYTES = 2 * 1024**3
KB = 1024
RANDOM_MODELS = 25
# Real models take ten times as long as small ones.
REAL_SHARE = 0.1
SHOW_EVERY = 500
VERIFY_INPUTS = 5
VERIFY_SECONDS = 120.0
LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Result:
    """How a case ended. `finding` is None if that is right."""

    kind: str
    """The kind of damage."""
    outcome: str
    """served, or the class of the error."""
    finding: str | None = None
    seconds: float = 0.0
    peak_bytes: int = 0
    """Peak memory of the process until now."""


@dataclass
class Tally:
    """The counts of a campaign."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[tuple[int, Result]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    peak_bytes: int = 0
    verified: Counter[str] = field(default_factory=Counter)

    def add(self, number: int, result: Result) -> None:
        """Counts a case."""
        self.outcomes[result.kind, result.outcome] += 1
        self.slowest = max(self.slowest, (result.seconds, number))
        self.peak_bytes = max(self.peak_bytes, result.peak_bytes)
        if result.finding is not None:
            self.findings.append((number, result))


Check = Callable[[], tuple[str, str | None]]
"""Gives a damaged input to the project. Returns the outcome and the finding, or raises what the project raises."""
Case = Callable[[int, Path], tuple[str, Check]]
"""Makes the case of a number in an empty folder: the kind of damage, and the check."""


def message_fault(error: Exception) -> str | None:
    """What is wrong with the message of an error, or None."""
    text = str(error)
    if not text.endswith((".", "?", "!")) or len(text) > LONGEST_MESSAGE:
        return f"its message is not a short sentence: {text[:200]!r}"
    return None if text.isprintable() else f"its message has control characters: {text[:200]!r}"


def run_case(case: Case, number: int, folder: Path) -> Result:
    """Runs one case in this process."""
    kind, check = case(number, folder)
    started = time.process_time()
    try:
        outcome, finding = check()
    except (BlockError, DeployError) as error:
        outcome, finding = type(error).__name__, message_fault(error)
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
        outcome, finding = type(error).__name__, f"{type(error).__name__}: {str(error)[:200]} ({where})"
    seconds = time.process_time() - started
    if seconds > SECONDS:
        finding = finding or f"it took {seconds:.1f} s"
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KB
    return Result(kind, outcome, finding, seconds, peak_bytes)


class Worker:
    """A child process that runs cases. It is started anew after a crash or a hang."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._start()

    def _start(self) -> None:
        context = get_context("fork")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(self._case, other), daemon=True)
        self._process.start()
        other.close()

    def run(self, number: int) -> Result:
        """Runs a case. A crash and a hang are findings."""
        self._connection.send(number)
        if self._connection.poll(HANG_SECONDS):
            try:
                result: Result = self._connection.recv()
                return result
            except EOFError:
                self._process.join()
                result = Result("", "crash", f"its process ended with {self._process.exitcode}")
        else:
            result = Result("", "hang", "it did not end", HANG_SECONDS)
            self._process.kill()
            self._process.join()
        self._start()
        return result

    def close(self) -> None:
        """Ends the child process."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _work(case: Case, connection: Connection) -> None:
    # Ctrl-C is for the process that counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the libraries that the parent has loaded do not count
    most_bytes = _address_space_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        with TemporaryDirectory() as folder:
            result = run_case(case, number, Path(folder))
        connection.send(result)


# --- models --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BaseModels:
    """Whole models: the real ones of shared/data, which may be missing, and small ones with all operators."""

    real: list[bytes]
    small: list[bytes]

    def damaged(self, seed: int, number: int) -> tuple[str, bytes]:
        """The kind of damage and the file of a case. Each case depends only on the seed and its number."""
        generator = random.Random(f"{seed} {number}")
        is_real = self.real and generator.random() < REAL_SHARE
        return damaged_models.damaged(generator.choice(self.real if is_real else self.small), generator)


def base_models() -> BaseModels:
    """Reads the real models and makes the small ones."""
    from tiny_models import attentive_grid, mobilenet, random_model

    real = [path.read_bytes() for path in sorted((SHARED_DATA / "models").glob("*.tflite"))]
    small = [*map(random_model, range(RANDOM_MODELS)), mobilenet(0.35, 32), attentive_grid()]
    return BaseModels(real, [model.content() for model in small])


def model_case(models: BaseModels, seed: int) -> Case:
    """A case reads a damaged model and does what `inspect` and `package` do before they run tools."""
    from esp32_deploy import meaning
    from esp32_deploy.compile import compiler, graph, servable
    from esp32_deploy.compile.servable import StreamError
    from esp32_deploy.manifest import Manifest
    from esp32_deploy.verify import inspection

    def check(content: bytes) -> tuple[str, str | None]:
        parsed = graph.parse(content, "model.tflite")
        servable.check_ends(parsed)
        try:
            compiled = compiler.compile_graph(parsed, "model")
        except StreamError as error:
            inspection.table(inspection.unstreamed_report(parsed, None, str(error)))
            return "StreamError", message_fault(error)
        inspection.table(inspection.report(compiled, None))
        try:
            meaning.of(parsed, Manifest())
        except DeployError as error:
            # It runs, but a library for a camera cannot be made of it.
            return "served", message_fault(error)
        return "served", None

    def case(number: int, _folder: Path) -> tuple[str, Check]:
        kind, content = models.damaged(seed, number)
        return kind, lambda: check(content)

    return case


def verified(content: bytes, folder: Path) -> str:
    """Compares a served model with TensorFlow Lite Micro: identical, refused there, or what differs."""
    from esp32_deploy.compile.compiler import compile_file
    from esp32_deploy.verify import patterns, simulate, tflm
    from esp32_deploy.verify.tflm import TflmError

    path = folder / "model.tflite"
    path.write_bytes(content)
    compiled = compile_file(path, "model")
    images = patterns.patterns(compiled.input_shape, VERIFY_INPUTS)
    try:
        expected = tflm.outputs(path, images)
    except TflmError as error:
        return "TensorFlow Lite Micro crashes" if "crashed" in str(error) else "TensorFlow Lite Micro refuses"
    result = simulate.verify(compiled, images, expected, simulate.TARGETS["host"])
    if result.first_difference is None:
        return "identical"
    return f"{result.inputs - result.identical} of {result.inputs} outputs differ"


# --- directories ---------------------------------------------------------------------------------------------------

Answer = dict[str, tuple[str, list[tuple[str, tuple[int, ...]]], str]]
"""Of each photo: its class or "", its boxes with their classes, and the checksum of its pixels."""


def read_directory(directory: Path, out: Path, kind: str) -> BlockData:
    """Reads a data directory as a run does. Photos are first prepared in `out`."""
    from block.data import contract, reading
    from block.photos.prepare import prepare
    from block.report import summary
    from block.settings import PhotoSettings

    if kind not in ("arrays", "box arrays"):
        # Photos that an array file fell into are still photos.
        how = PhotoSettings(
            size=damaged_directories.SIZE_PX,
            task="detection" if "boxes" in kind else "classification",
            labels_from={"folders": "folder"}.get(kind, kind.split()[0]),
        )
        prepare(directory, out, how, seed=1)
        directory = out
    elif not contract.is_block_directory(directory):
        raise BlockError(f"{directory} holds no arrays.")
    data = reading.read(directory)
    with redirect_stdout(io.StringIO()):
        summary.describe_data(data)
    return data


def answer(data: BlockData) -> Answer:
    """What was read of each photo."""
    answers: Answer = {}
    for split in data.splits.values():
        for name, label, pixels in zip(split.sample_names, split.labels, split.features, strict=True):
            is_class = data.task == "classification"
            boxes = [] if is_class else [(data.classes[box[0]], tuple(map(int, box[1:]))) for box in label]
            text = data.classes[int(label)] if is_class else ""
            answers[name] = text, boxes, hashlib.sha256(pixels.tobytes()).hexdigest()
    return answers


def directory_case(seed: int, bases: Path) -> Case:
    """A case damages one file of a data directory and reads the directory."""
    from block.data import contract

    answers: dict[str, Answer] = {}
    with TemporaryDirectory() as scratch:
        for kind in damaged_directories.KINDS:
            (bases / kind).mkdir()
            damaged_directories.write_base(bases / kind, kind)
            answers[kind] = answer(read_directory(bases / kind, Path(scratch) / kind, kind))

    def check(folder: Path, kind: str, path: Path, out: Path) -> tuple[str, str | None]:
        try:
            data = read_directory(folder, out, kind)
        except (BlockError, DeployError):
            if out.exists() and contract.is_block_directory(out):
                return "refused", "it was refused, and arrays were written"
            raise
        if kind in ("arrays", "box arrays"):
            return "served", damaged_directories.array_fault(bases / kind, folder, data)
        found, expected = answer(data), answers[kind]
        same = damaged_directories.untouched(bases / kind, folder, path, list(expected))
        skipped = data.preparation.skipped if data.preparation else {}
        wrong = [name for name in sorted(same) if found.get(name) != expected[name]]
        wrong += [name for name in sorted(same) if name in skipped]
        return "served", f"{path.name} was damaged, and {wrong[0]} is read differently" if wrong else None

    def case(number: int, folder: Path) -> tuple[str, Check]:
        generator = random.Random(f"{seed} {number}")
        kind = generator.choice(damaged_directories.KINDS)
        shutil.copytree(bases / kind, folder / "data")
        damage, path = damaged_directories.damage(folder / "data", generator)
        return damage, lambda: check(folder / "data", kind, path, folder / "out")

    return case


# --- the campaigns -------------------------------------------------------------------------------------------------


def campaign(case: Case, numbers: range) -> Iterator[tuple[int, Result]]:
    """Runs cases one after the other in a process with limits."""
    worker = Worker(case)
    try:
        for number in numbers:
            yield number, worker.run(number)
    finally:
        worker.close()


def show(tally: Tally, seconds: float) -> None:
    """Prints the counts and the findings."""
    kinds = sorted({kind for kind, _ in tally.outcomes})
    outcomes = sorted({outcome for _, outcome in tally.outcomes})
    for kind in kinds:
        print(f"{kind:12}", "  ".join(f"{outcome} {tally.outcomes[kind, outcome]:,}" for outcome in outcomes))
    for outcome, count in sorted(tally.verified.items()):
        print(f"verified: {outcome}: {count}")
    slowest_s, slowest = tally.slowest
    print(
        f"{tally.outcomes.total():,} cases in {seconds:.0f} s; slowest {slowest_s:.1f} s (case {slowest}); peak memory "
        f"{tally.peak_bytes / 1024**2:.0f} MB; {len(tally.findings)} findings"
    )
    for number, result in tally.findings:
        print(f"finding: case {number} ({result.kind}): {result.finding}")
    sys.stdout.flush()


OPTIONS = (
    click.option("--seed", type=int, default=1, show_default=True),
    click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Number of the first case."),
    click.option("--keep", type=click.Path(path_type=Path), help="Folder for the inputs of findings."),
)


def common(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that both campaigns have."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group()
def main() -> None:
    """Damage inputs at random and count how they end."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@main.command()
@click.option("--count", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--verify-every", type=click.IntRange(1), default=20, show_default=True, help="Of the served models.")
@common
def models(count: int, verify_every: int, seed: int, first: int, keep: Path | None) -> None:
    """Damage .tflite files. Every few served models are compared with TensorFlow Lite Micro."""
    bases = base_models()
    tally, started, served = Tally(), time.monotonic(), 0
    for number, result in campaign(model_case(bases, seed), range(first, first + count)):
        tally.add(number, result)
        served += result.outcome == "served"
        if result.outcome == "served" and served % verify_every == 0:
            with TemporaryDirectory() as folder:
                comparison = verified(bases.damaged(seed, number)[1], Path(folder))
            tally.verified[comparison] += 1
            if "differ" in comparison or "crashes" in comparison:
                result = Result(result.kind, "served", comparison)
                tally.findings.append((number, result))
        if result.finding and keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{number}.tflite").write_bytes(bases.damaged(seed, number)[1])
        if (number + 1) % SHOW_EVERY == 0:
            show(tally, time.monotonic() - started)
    show(tally, time.monotonic() - started)
    raise SystemExit(bool(tally.findings))


@main.command()
@click.option("--count", type=click.IntRange(1), default=1_000, show_default=True)
@common
def directories(count: int, seed: int, first: int, keep: Path | None) -> None:
    """Damage data directories: arrays, label files and photos."""
    tally, started = Tally(), time.monotonic()
    with TemporaryDirectory() as scratch:
        case = directory_case(seed, Path(scratch))
        for number, result in campaign(case, range(first, first + count)):
            tally.add(number, result)
            if result.finding and keep:
                case(number, keep / str(number))
    show(tally, time.monotonic() - started)
    raise SystemExit(bool(tally.findings))


if __name__ == "__main__":
    main()
