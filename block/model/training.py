"""Trains a network: epochs, learning-rate schedule and averaged weights. This module accesses no files."""

import copy
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from block.data.reading import Split
from block.errors import BlockError
from block.model.augment import Augment

# the default schedule, chosen by cross-validation: see docs/experiments.md
WARM_UP_SHARE = 0.2
FIRST_LEARNING_RATE_SHARE, FINAL_LEARNING_RATE_SHARE = 0.04, 0.001
VALIDATION_BATCH = 64

Schedule = Callable[[float], float]
"""Maps the progress of training, 0..1, to a share of the peak learning rate."""


class Task(Protocol):
    """The interface of a task, which classification and detection implement.

    `merit` ranks epochs by validation loss and score. `keeps` decides whether an epoch with a merit takes the place of
    the epoch kept before, given the highest merit so far.
    """

    score_name: str

    def targets(self, labels: Sequence[Any]) -> Tensor: ...
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor: ...
    def validate(self, outputs: Tensor, labels: Sequence[Any]) -> tuple[float, float]: ...
    def merit(self, loss: float, score: float) -> tuple[float, ...]: ...
    def keeps(self, merit: tuple[float, ...], highest: tuple[float, ...]) -> bool: ...


def warm_up_and_cosine(progress: float) -> float:
    """The default schedule: the learning rate rises to its peak along a half cosine, then falls along another."""
    if progress < WARM_UP_SHARE:
        low, phase = FIRST_LEARNING_RATE_SHARE, progress / WARM_UP_SHARE
        return low + (1 - low) * (1 - math.cos(math.pi * phase)) / 2
    phase = (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
    return FINAL_LEARNING_RATE_SHARE + (1 - FINAL_LEARNING_RATE_SHARE) * (1 + math.cos(math.pi * phase)) / 2


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of training. The defaults were chosen by cross-validation, see docs/experiments.md."""

    epochs: int
    learning_rate: float
    """The peak learning rate of the schedule."""
    batch_size: int
    seed: int
    augment: Augment | None
    deadline: float | None = None
    """The time.monotonic() before which the last epoch should end."""
    schedule: Schedule = warm_up_and_cosine
    weight_decay: float = 0.01
    """AdamW's weight decay for weights with more than one dimension; with 0 AdamW equals Adam."""
    average_decay: float = 0.97
    """Decay per step of the exponential moving average of the weights; 0 keeps the weights of the last step."""


@dataclass(frozen=True)
class Epoch:
    """One row of the history. `score` is accuracy or F1 on the validation split; None without that split."""

    number: int
    epochs: int
    train_loss: float
    validation_loss: float | None
    score: float | None
    learning_rate: float
    seconds: float
    is_kept: bool


OnEpoch = Callable[[Epoch, nn.Module], None]
OnStep = Callable[[int, int, int], None]


def seed_everything(seed: int) -> None:
    """Seeds the random generators and makes torch deterministic: every run on one machine gives the same result."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # no operator here reads uninitialised memory, and filling it takes a fifth of a training step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def choose_device() -> tuple[torch.device, str]:
    """The fastest available device, and the reason for the choice."""
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        return torch.device("mps"), "Apple GPU"
    return torch.device("cpu"), f"no CUDA or Apple GPU found, {torch.get_num_threads()} threads"


class Trainer:
    """Trains a network on all images of some splits. `averaged` is the network that is validated and kept.

    Its weights are averaged over the last few dozen steps. This reduces the noise of a small data set.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        train: Sequence[Split],
        validation: Split | None,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network)
        self.task, self.train, self.validation, self.recipe, self.device = task, train, validation, recipe, device
        self.optimizer = _optimizer(self.network, recipe)
        self.shuffler = torch.Generator().manual_seed(recipe.seed)
        self.steps = 0
        self.highest_merit: tuple[float, ...] | None = None
        self.epochs = recipe.epochs

    @property
    def batches(self) -> int:
        """Steps per epoch."""
        return max(1, sum(map(len, self.train)) // self.recipe.batch_size)

    def fit(self, on_epoch: OnEpoch, on_step: OnStep) -> list[Epoch]:
        """Runs the epochs and returns the history.

        `on_epoch` is called with each row and the averaged network. `on_step` is called after each training step and
        each validation batch with epoch, step and steps per epoch. Training ends early if the recipe's deadline is
        near. Raises BlockError if a loss is not finite.
        """
        history: list[Epoch] = []
        while len(history) < self.epochs:
            epoch = self._run_epoch(len(history) + 1, on_step)
            history.append(epoch)
            on_epoch(epoch, self.averaged)
            self._fit_epochs_into_time(len(history), epoch.seconds)
        return history

    def _run_epoch(self, number: int, on_step: OnStep) -> Epoch:
        start = time.monotonic()
        train_loss = self._train_one_epoch(number, on_step)
        loss, score, is_kept = None, None, False
        if self.validation is not None:
            loss, score = self._validate(self.validation, lambda: on_step(number, self.batches, self.batches))
            self._check(loss, "validation", number)
            merit = self.task.merit(loss, score)
            is_kept = self.highest_merit is None or self.task.keeps(merit, self.highest_merit)
            self.highest_merit = merit if self.highest_merit is None else max(merit, self.highest_merit)
        return Epoch(
            number=number,
            epochs=self.epochs,
            train_loss=train_loss,
            validation_loss=loss,
            score=score,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            seconds=time.monotonic() - start,
            is_kept=is_kept,
        )

    def _train_one_epoch(self, number: int, on_step: OnStep) -> float:
        self.network.train()
        total, batch = 0.0, 0
        for batch, (images, targets) in enumerate(self._batches(), start=1):
            progress = min(1.0, (number - 1 + batch / self.batches) / self.epochs)
            loss = self._step(images, targets, progress)
            self._check(loss, "training", number)
            total += loss
            on_step(number, batch, self.batches)
            if self._is_late():
                self.epochs = number
                break
        return total / batch

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(sum(map(len, self.train)), generator=self.shuffler).tolist()
        # images after the last full batch are left out of this epoch: small batches disturb BatchNorm
        for batch in range(self.batches):
            rows = order[batch * self.recipe.batch_size : (batch + 1) * self.recipe.batch_size]
            examples = [self._example(row) for row in rows]
            images = torch.stack([image for image, _ in examples])
            yield images, self.task.targets([label for _, label in examples])

    def _example(self, row: int) -> tuple[Tensor, Any]:
        for split in self.train:
            if row < len(split):
                image, label = _images(split.features[row]), split.labels[row]
                return self.recipe.augment(image, label) if self.recipe.augment else (image, label)
            row -= len(split)
        raise IndexError(row)

    def _step(self, images: Tensor, targets: Tensor, progress: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self.recipe.schedule(progress)
        images = images.to(self.device, memory_format=torch.channels_last)
        loss = self.task.loss(self.network(images), targets.to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self._average()
        return loss.item()

    @torch.no_grad()
    def _average(self) -> None:
        # a lower decay in the first steps removes the initial weights quickly
        decay = min(self.recipe.average_decay, (1 + self.steps) / (10 + self.steps))
        pairs = zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True)
        for mean, value in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def _check(self, loss: float, split: str, epoch: int) -> None:
        if not math.isfinite(loss):
            raise BlockError(
                f"The {split} loss became {loss} in epoch {epoch}. Try a lower learning rate, for example "
                f"--learning-rate {self.recipe.learning_rate / 10:g}."
            )

    def _validate(self, validation: Split, on_batch: Callable[[], None]) -> tuple[float, float]:
        self.averaged.eval()
        outputs = []
        with torch.inference_mode():
            for start in range(0, len(validation), VALIDATION_BATCH):
                images = _images(validation.features[start : start + VALIDATION_BATCH])
                outputs.append(self.averaged(images.to(self.device)).cpu())
                on_batch()
        return self.task.validate(torch.cat(outputs), list(validation.labels))

    def _is_late(self) -> bool:
        return self.recipe.deadline is not None and time.monotonic() > self.recipe.deadline

    def _fit_epochs_into_time(self, done: int, epoch_seconds: float) -> None:
        if self.recipe.deadline is None:
            return
        # the shorter training still goes through the whole schedule, so that the learning rate falls to its end
        left = max(0.0, self.recipe.deadline - time.monotonic())
        self.epochs = min(self.epochs, done + int(left / epoch_seconds))


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    # weight decay is for the filters only, not for biases and BatchNorm's scales
    filters = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": filters, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _images(features: np.ndarray) -> Tensor:
    """Converts rows of a memory-mapped array: (H, W, C) to (C, H, W), or (B, H, W, C) to (B, C, H, W)."""
    return torch.from_numpy(np.array(features)).movedim(-1, -3)
