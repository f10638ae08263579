"""Tests one batch before a long training: forward pass, loss, backward pass and ONNX export."""

import copy
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from block import console
from block.errors import BlockError
from block.pipeline.run import Run

if TYPE_CHECKING:
    import torch
    from torch import nn

    from block.model.training import Task


def check(run: Run, network: "nn.Module", task: "Task", device: "torch.device") -> None:
    """Tests a copy of the network on one batch and prints the result.

    Raises BlockError if the batch does not fit into memory, the loss is not finite or the ONNX export differs. The
    network and the random generators do not change, so that the check does not affect the run.
    """
    import torch

    started = time.monotonic()
    count = min(run.settings.batch_size_for(run.data.task), len(run.data.train))
    trial = copy.deepcopy(network).to(device)
    labels = list(run.data.train.labels[:count])
    images = torch.from_numpy(np.array(run.data.train.features[:count])).permute(0, 3, 1, 2)
    try:
        loss = task.loss(trial.train()(images.to(device)), task.targets(labels).to(device))
        loss.backward()
    except RuntimeError as error:
        if "out of memory" not in str(error).lower():
            raise
        raise BlockError(
            f"A batch of {count} images does not fit into the memory of {device.type}. Choose a smaller --batch-size."
        ) from error
    if not math.isfinite(loss.item()):
        raise BlockError(f"The loss of the first batch is {loss.item()}. Please report this with your settings.")
    with console.heartbeat("Check"), console.foreign_output_hidden(run.debug):
        macs = _macs(trial, images[:1].to(device))
        _export(run, trial)
    console.say(
        f"Check: forward and backward pass of {count} images, loss {loss.item():.4f}; ONNX export agrees; "
        f"{macs / 1e6:.1f} M multiply-accumulates per image ({time.monotonic() - started:.1f} s)"
    )


def _macs(network: "nn.Module", image: "torch.Tensor") -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(image)
    # FLOPs count a multiplication and an addition as two operations.
    return int(counter.get_total_flops()) // 2


def _export(run: Run, network: "nn.Module") -> None:
    """Exports to ONNX and compares the outputs. The TensorFlow Lite converters are too slow for this check."""
    from block.export import convert, runtimes
    from block.measure import evaluate
    from block.model.network import WithSoftmax

    data = run.data
    image = np.array(data.train.features[:1])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trial.onnx"
        trained = runtimes.torch_predict(WithSoftmax(network))(image)
        convert.to_onnx(WithSoftmax(network), data.size, data.channels, path)
        exported = runtimes.onnx_predict(path)(image)
        evaluate.check_conversion(trained, exported, "The network and its test export to ONNX")
