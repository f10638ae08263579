"""Writes and reads weights.pt and settings.json, from which a run can be finished later."""

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from block.console import warn
from block.data import contract, reading
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.facts import Facts, facts_from_dict
from block.pipeline.run import Run, build_network
from block.settings import from_dict
from esp32_deploy.files import replacing
from esp32_deploy.words import Task

if TYPE_CHECKING:
    from torch import nn

    from block.model.training import Epoch


# Format 1 stored the facts as plain dictionaries.
WEIGHTS_FORMAT = 2


@dataclass(frozen=True)
class Note:
    """The content of settings.json: what `convert` needs in addition to weights.pt."""

    settings: dict[str, Any]
    arrays_directory: str
    arrays_fingerprint: str
    task: Task
    classes: list[str]
    size: int
    channels: int


def save_weights(run: Run, network: "nn.Module", facts: Facts, history: "Sequence[Epoch] | None" = None) -> None:
    """Writes weights.pt, settings.json for `convert`, and history.csv if `history` is given.

    At whatever point it is interrupted, the folder never holds files of two different networks, and `convert` works
    from the first call on.
    """
    import torch

    from block.report import results

    outputs, buffer = run.outputs, io.BytesIO()
    torch.save({"format": WEIGHTS_FORMAT, "state": network.state_dict(), "facts": facts.as_dict()}, buffer)
    settings = contract.json_text(asdict(_note(run)))
    with ExitStack() as files:
        # They are renamed in reverse order. All are complete before a file is deleted, because the disk may be full.
        files.enter_context(replacing(outputs.weights)).write_bytes(buffer.getvalue())
        files.enter_context(replacing(outputs.settings)).write_text(settings, encoding="utf-8")
        if history is not None:
            results.write_history(files.enter_context(replacing(outputs.history)), history)
        delete_results(run)
        if not outputs.settings.exists() or outputs.settings.read_text(encoding="utf-8") != settings:
            # These are of another run, which the new settings.json does not describe.
            outputs.weights.unlink(missing_ok=True)
            outputs.history.unlink(missing_ok=True)


def delete_results(run: Run) -> None:
    """Deletes all files that are made from weights.pt."""
    outputs = run.outputs
    for path in (*outputs.made_from_weights, outputs.library(run.settings.library_name)):
        path.unlink(missing_ok=True)


def _note(run: Run) -> Note:
    data = run.data
    return Note(
        settings=run.settings.as_dict(),
        arrays_directory=str(data.directory.resolve()),
        arrays_fingerprint=data.fingerprint,
        task=data.task,
        classes=list(data.classes),
        size=data.size,
        channels=data.channels,
    )


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

    Raises BlockError if task, size or channels of the arrays differ from those of the run, or if arrays that were not
    named have changed.
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
    _compare_arrays(outputs, note, data, is_named=data_directory is not None)
    return Run(settings, outputs, data, debug)


def _compare_arrays(outputs: Outputs, note: Note, data: BlockData, is_named: bool) -> None:
    if data.fingerprint == note.arrays_fingerprint:
        return
    differ = f"The arrays in {data.directory} are not those that {outputs.weights} was trained on."
    if not is_named:
        raise BlockError(f"{differ} Name those with --data-directory, or train again.")
    warn(f"{differ} Some of their validation and test images may have been trained on.")


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
