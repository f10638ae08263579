"""The data that all stages of a run share, and the network that is built from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from block.data.contract import Outputs
from block.data.reading import BlockData
from block.settings import Settings

if TYPE_CHECKING:
    from torch import nn

    from block.model.network import NetworkShape


@dataclass(frozen=True)
class Run:
    """The data that all stages of a run share."""

    settings: Settings
    outputs: Outputs
    data: BlockData
    debug: bool


def network_shape(run: Run) -> "NetworkShape":
    """The parameters that define this run's network."""
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
