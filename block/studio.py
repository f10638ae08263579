"""The folder of a block for Studio: the files that the image is built from, with the parameters of one task."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from block.data.contract import make_folder
from block.errors import BlockError
from esp32_deploy.words import Task

PROJECT = Path(__file__).resolve().parents[1]
PARAMETERS_FILE = "parameters.json"
PARAMETERS: dict[Task, str] = {"classification": PARAMETERS_FILE, "detection": "variants/fomo/parameters.json"}
BUILD_FILES = ("Dockerfile", ".dockerignore")
ANYWHERE = "**/"

CONFIG_FILE = ".ei-block-config"
"""The client writes the numbers of the organization and the block into it, and needs them for every later push."""
KEPT = {CONFIG_FILE, "ei-block-data", "data", "out"}
"""What the client and a person add to the folder; .dockerignore names them all."""


@dataclass(frozen=True)
class StudioFolder:
    """What `write_folder` wrote."""

    files: int
    size_bytes: int
    weights: tuple[str, ...]
    """Names of the files with ImageNet weights."""
    has_config: bool
    """Whether `edge-impulse-blocks init` was run in the folder before."""


def image_sources(project: Path = PROJECT) -> tuple[str, ...]:
    """Names of the files and folders at the top of the project that the image is built from, in alphabetical order.

    They are the Dockerfile, .dockerignore and what the Dockerfile copies. Raises BlockError without a Dockerfile.
    """
    path = project / "Dockerfile"
    if not path.is_file():
        raise BlockError(f"{path} is missing. Run this in a copy of the whole project, not in its container.")
    copies = [line.split()[1:-1] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("COPY ")]
    return tuple(sorted({*BUILD_FILES, *(name.rstrip("/") for names in copies for name in names)}))


def write_folder(out: Path, task: Task, project: Path = PROJECT) -> StudioFolder:
    """Writes into `out` what `edge-impulse-blocks push` needs for a block of `task`.

    `out` is empty, or holds what an earlier call wrote: its files are replaced, and those in `KEPT` stay.
    Raises BlockError when `out` lies in the project or holds anything else.
    """
    sources = image_sources(project)
    _check_place(out, project)
    make_folder(out)
    _check_content(out, sources)
    ignored = _ignored_anywhere(project)
    for name in sources:
        _replace(project / (PARAMETERS[task] if name == PARAMETERS_FILE else name), out / name, ignored)
    written = [path for name in sources for path in (out / name, *(out / name).rglob("*")) if path.is_file()]
    return StudioFolder(
        files=len(written),
        size_bytes=sum(path.stat().st_size for path in written),
        weights=tuple(sorted(path.name for path in written if path.suffix == ".pt")),
        has_config=(out / CONFIG_FILE).exists(),
    )


def _check_place(out: Path, project: Path) -> None:
    if out.resolve().is_relative_to(project):
        raise BlockError(f"{out} lies in the project's folder. Choose a folder outside it, such as ../studio-block.")


def _check_content(out: Path, sources: tuple[str, ...]) -> None:
    found = {path.name for path in out.iterdir()}
    if not found:
        return
    foreign = sorted(found - set(sources) - KEPT)
    missing = sorted(set(sources) - found)
    if foreign:
        reason = f"holds {foreign[0]}, which this command does not write"
    elif missing:
        reason = f"is not empty, and {missing[0]} of an earlier block is missing in it"
    else:
        return
    raise BlockError(f"{out} {reason}. Choose an empty folder, or one that this command wrote.")


def _ignored_anywhere(project: Path) -> tuple[str, ...]:
    lines = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return tuple(line.removeprefix(ANYWHERE) for line in lines if line.startswith(ANYWHERE))


def _replace(source: Path, target: Path, ignored: tuple[str, ...]) -> None:
    if source.is_dir():
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*ignored), copy_function=shutil.copyfile)
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        raise BlockError(f"{source} is missing, and the Dockerfile needs it. Get the whole project again.")
