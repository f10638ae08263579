"""What a run keeps on disk so that it can be finished later: weights.pt and settings.json."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from block.data import contract, reading
from block.data.contract import Outputs
from block.errors import BlockError
from block.facts import Facts, facts_from_dict
from block.pipeline.run import Run, build_network
from block.settings import from_dict
from esp32_deploy.files import replacing
from esp32_deploy.words import Task

if TYPE_CHECKING:
    from torch import nn


# 1 held the facts as plain dictionaries
WEIGHTS_FORMAT = 2


@dataclass(frozen=True)
class Note:
    """settings.json: what `convert` needs beside weights.pt."""

    settings: dict[str, Any]
    arrays_directory: str
    task: Task
    classes: list[str]
    size: int
    channels: int


def save_weights(run: Run, network: "nn.Module", facts: Facts) -> None:
    """Writes weights.pt and the settings that `convert` needs beside it.

    What belongs to earlier weights goes first: whatever interrupts this, no folder holds two different networks.
    """
    import torch

    outputs = run.outputs
    for path in (outputs.settings, outputs.library(run.settings.library_name), *outputs.made_from_weights):
        path.unlink(missing_ok=True)
    with replacing(outputs.weights) as temporary:
        torch.save({"format": WEIGHTS_FORMAT, "state": network.state_dict(), "facts": facts.as_dict()}, temporary)
    write_settings(run)


def write_settings(run: Run) -> None:
    """Writes settings.json."""
    data = run.data
    note = Note(
        settings=run.settings.as_dict(),
        arrays_directory=str(data.directory.resolve()),
        task=data.task,
        classes=list(data.classes),
        size=data.size,
        channels=data.channels,
    )
    contract.write_json(run.outputs.settings, asdict(note))


def load_weights(run: Run) -> tuple["nn.Module", Facts]:
    """The network of weights.pt, on the CPU, and the facts noted with it.

    Raises BlockError when there are no weights, or when another version of this program wrote them.
    """
    import torch

    if not run.outputs.weights.exists():
        raise BlockError(f"{run.outputs.weights} does not exist: that run finished no epoch. Train again.")
    content = torch.load(run.outputs.weights, map_location="cpu", weights_only=True)
    found = content.get("format", 1)
    if found != WEIGHTS_FORMAT:
        raise BlockError(
            f"{run.outputs.weights} has format {found}, and this version reads format {WEIGHTS_FORMAT}: another "
            "version of this program wrote it. Convert it with that version, or train again."
        )
    network = build_network(run)
    network.load_state_dict(content["state"])
    return network, facts_from_dict(content["facts"])


def resume(out_directory: Path, data_directory: Path | None, debug: bool) -> Run:
    """An earlier run, from its output folder and the arrays it was trained on, or the same ones in `data_directory`."""
    outputs = Outputs(out_directory)
    note = read_settings(outputs)
    settings = from_dict(note.settings | {"out_directory": out_directory})
    arrays = find_arrays(outputs, Path(note.arrays_directory), data_directory)
    data = reading.read(arrays, classes=note.classes, shape=(note.size, note.size, note.channels))
    for name in ("task", "size", "channels"):
        learned, found = getattr(note, name), getattr(data, name)
        if found != learned:
            raise BlockError(
                f"{outputs.weights} was trained for {name} {learned}, the arrays in {data.directory} are for "
                f"{found}; name the data it was trained on with --data-directory."
            )
    return Run(settings, outputs, data, debug)


def read_settings(outputs: Outputs) -> Note:
    """settings.json of an earlier run; raises BlockError when it is missing or incomplete."""
    if not outputs.settings.exists():
        raise BlockError(f"{outputs.settings} does not exist; name the output folder of a run that finished an epoch.")
    content = contract.read_json(outputs.settings)
    names = {field.name for field in fields(Note)}
    missing = names - content.keys()
    if missing:
        raise BlockError(
            f"{outputs.settings} lacks {', '.join(sorted(missing))}: an earlier version of this program wrote it, or "
            "it was edited. Train again."
        )
    return Note(**{name: content[name] for name in names})


def find_arrays(outputs: Outputs, noted: Path, named: Path | None) -> Path:
    """Where the arrays of an earlier run are now: the folder named, the one noted, or those prepared beside it."""
    folders = [named] if named else [noted, outputs.prepared]
    for folder in folders:
        if contract.is_block_directory(folder):
            return folder
    raise BlockError(f"The arrays of that run are not in {folders[0]}; say where they are with --data-directory.")
