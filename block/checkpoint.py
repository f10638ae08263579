"""What a run keeps on disk so that it can be finished later: weights.pt and settings.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from block.data import contract, reading
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.settings import Settings, from_dict

if TYPE_CHECKING:
    from torch import nn

    from block.model.network import NetworkShape

NOTED = frozenset(("settings", "arrays_directory", "task", "classes", "size", "channels"))
"""What settings.json holds."""


@dataclass(frozen=True)
class Run:
    """What every chapter of a run must know."""

    settings: Settings
    outputs: Outputs
    data: BlockData
    debug: bool


def network_shape(run: Run) -> "NetworkShape":
    """The shape of this run's network."""
    from block.model.network import NetworkShape

    settings, data = run.settings, run.data
    return NetworkShape(
        settings.width,
        settings.cut_for(data.task),
        data.channels,
        len(data.classes),
        data.size,
        settings.attention and data.task == "detection",
    )


def build_network(run: Run) -> "nn.Module":
    """This run's network, with random weights."""
    from block.model import classification, detection

    task = detection if run.data.task == "detection" else classification
    return task.build_network(network_shape(run))


def save_weights(run: Run, network: "nn.Module", facts: dict[str, Any]) -> None:
    """Writes weights.pt and the settings that `convert` needs beside it.

    What belongs to earlier weights goes first: whatever interrupts this, no folder holds two different networks.
    """
    import torch

    outputs = run.outputs
    for path in (outputs.settings, outputs.library(run.settings.library_name), *outputs.made_from_weights):
        path.unlink(missing_ok=True)
    with contract.replacing(outputs.weights) as temporary:
        torch.save({"state": network.state_dict(), "facts": facts}, temporary)
    write_settings(run)


def write_settings(run: Run) -> None:
    """settings.json: what `convert` needs beside weights.pt."""
    contract.write_json(
        run.outputs.settings,
        {
            "settings": run.settings.as_dict(),
            "arrays_directory": str(run.data.directory.resolve()),
            "task": run.data.task,
            "classes": list(run.data.classes),
            "size": run.data.size,
            "channels": run.data.channels,
        },
    )


def load_weights(run: Run) -> tuple["nn.Module", dict[str, Any]]:
    """The network of weights.pt, on the CPU, and the facts noted with it."""
    import torch

    if not run.outputs.weights.exists():
        raise BlockError(f"{run.outputs.weights} does not exist: that run finished no epoch. Train again.")
    content = torch.load(run.outputs.weights, map_location="cpu", weights_only=True)
    network = build_network(run)
    network.load_state_dict(content["state"])
    return network, content["facts"]


def resume(out_directory: Path, data_directory: Path | None, debug: bool) -> Run:
    """An earlier run, from its output folder and the arrays it was trained on, or the same ones in `data_directory`."""
    outputs = Outputs(out_directory)
    if not outputs.settings.exists():
        raise BlockError(f"{outputs.settings} does not exist; name the output folder of a run that finished an epoch.")
    noted = contract.read_json(outputs.settings)
    missing = NOTED - noted.keys()
    if missing:
        raise BlockError(
            f"{outputs.settings} lacks {', '.join(sorted(missing))}: an earlier version of this program wrote it, or "
            "it was edited. Train again."
        )
    settings = from_dict(noted["settings"] | {"out_directory": out_directory})
    shape = (noted["size"], noted["size"], noted["channels"])
    data = reading.read(find_arrays(outputs, noted, data_directory), classes=noted["classes"], shape=shape)
    for name, value in (("task", data.task), ("size", data.size), ("channels", data.channels)):
        if value != noted[name]:
            raise BlockError(
                f"{outputs.weights} was trained for {name} {noted[name]}, the arrays in {data.directory} are for "
                f"{value}; name the data it was trained on with --data-directory."
            )
    return Run(settings, outputs, data, debug)


def find_arrays(outputs: Outputs, noted: dict[str, Any], named: Path | None) -> Path:
    """Where the arrays of an earlier run are now: the folder named, the one noted, or those prepared beside it."""
    folders = [named] if named else [Path(noted["arrays_directory"]), outputs.prepared]
    for folder in folders:
        if contract.is_block_directory(folder):
            return folder
    raise BlockError(f"The arrays of that run are not in {folders[0]}; say where they are with --data-directory.")
