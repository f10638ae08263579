"""Writes and reads weights.pt and settings.json, from which a run can be finished later."""

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


# Format 1 stored the facts as plain dictionaries.
WEIGHTS_FORMAT = 2


@dataclass(frozen=True)
class Note:
    """The content of settings.json: what `convert` needs in addition to weights.pt."""

    settings: dict[str, Any]
    arrays_directory: str
    task: Task
    classes: list[str]
    size: int
    channels: int


def save_weights(run: Run, network: "nn.Module", facts: Facts) -> None:
    """Writes weights.pt, and settings.json for `convert`.

    It deletes all files made from earlier weights first. Even if it is interrupted, the folder never holds files of
    two different networks.
    """
    import torch

    outputs = run.outputs
    for path in (outputs.settings, outputs.library(run.settings.library_name), *outputs.made_from_weights):
        path.unlink(missing_ok=True)
    with replacing(outputs.weights) as temporary:
        torch.save({"format": WEIGHTS_FORMAT, "state": network.state_dict(), "facts": facts.as_dict()}, temporary)
    write_settings(run)


def write_settings(run: Run) -> None:
    """Writes settings.json for a run."""
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
    """Reads weights.pt: the network, on the CPU, and its facts.

    Raises BlockError if the file does not exist or if another version of this program wrote it.
    """
    import torch

    if not run.outputs.weights.exists():
        raise BlockError(f"{run.outputs.weights} does not exist, because the run finished no epoch. Train again.")
    content = torch.load(run.outputs.weights, map_location="cpu", weights_only=True)
    found = content.get("format", 1)
    if found != WEIGHTS_FORMAT:
        raise BlockError(
            f"{run.outputs.weights} was written by another version of this program. It has format {found}, and this "
            f"version reads format {WEIGHTS_FORMAT}. Convert it with the other version, or train again."
        )
    network = build_network(run)
    network.load_state_dict(content["state"])
    return network, facts_from_dict(content["facts"])


def resume(out_directory: Path, data_directory: Path | None, debug: bool) -> Run:
    """Loads an earlier run from its output folder and its arrays. `data_directory` names a new place of the arrays.

    Raises BlockError if task, size or channels of the arrays differ from those of the run.
    """
    outputs = Outputs(out_directory)
    note = read_settings(outputs)
    settings = from_dict(note.settings | {"out_directory": out_directory})
    arrays = find_arrays(outputs, Path(note.arrays_directory), data_directory)
    data = reading.read(arrays, classes=note.classes, shape=(note.size, note.size, note.channels))
    for name in ("task", "size", "channels"):
        trained, found = getattr(note, name), getattr(data, name)
        if found != trained:
            raise BlockError(
                f"{outputs.weights} was trained for {name} {trained}, but the arrays in {data.directory} have {name} "
                f"{found}. Name the data that it was trained on with --data-directory."
            )
    return Run(settings, outputs, data, debug)


def read_settings(outputs: Outputs) -> Note:
    """Reads settings.json of an earlier run. Raises BlockError if it is missing or incomplete."""
    if not outputs.settings.exists():
        raise BlockError(f"{outputs.settings} does not exist. Name the output folder of a run that finished an epoch.")
    content = contract.read_json(outputs.settings)
    names = {field.name for field in fields(Note)}
    missing = names - content.keys()
    if missing:
        raise BlockError(
            f"{outputs.settings} lacks {', '.join(sorted(missing))}. An earlier version of this program wrote it, or "
            "it was edited. Train again."
        )
    return Note(**{name: content[name] for name in names})


def find_arrays(outputs: Outputs, noted: Path, named: Path | None) -> Path:
    """The folder with the arrays of an earlier run: `named` if given, else `noted`, else the run's own prepared/.

    Raises BlockError if none of them holds arrays.
    """
    folders = [named] if named else [noted, outputs.prepared]
    for folder in folders:
        if contract.is_block_directory(folder):
            return folder
    raise BlockError(f"The arrays of that run are not in {folders[0]}. Name their folder with --data-directory.")
