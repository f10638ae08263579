import time
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_arrays import draw_squares
from torch import nn

from block.data.reading import Split
from block.errors import BlockError
from block.measure.evaluate import cross_entropy
from block.model import training
from block.model.augment import box_augmentation, photo_augmentation
from block.model.classification import ClassificationTask, build_network, class_weights
from block.model.network import NetworkShape
from block.model.training import Recipe, Trainer


def split(images, seed, size=48):
    labels = np.arange(images) % 3
    return Split(draw_squares(labels, size, seed), labels, tuple(map(str, range(images))))


def trainer(*, network=None, images=24, **choices):
    recipe = Recipe(**{"epochs": 2, "learning_rate": 0.003, "batch_size": 8, "seed": 1, "augment": None} | choices)
    training.seed_everything(1)
    train = split(images, 0)
    network = network or build_network(NetworkShape(0.35, "block_5", 3, 3, 48))
    return Trainer(
        network, ClassificationTask(train.labels, 3, cross_entropy), [train], split(9, 1), recipe, torch.device("cpu")
    )


def fit(trainer):
    calls = []
    history = trainer.fit(lambda epoch, network: calls.append((epoch, network)), lambda *_: None)
    return history, calls


def test_a_network_learns_an_easy_task():
    history, _ = fit(trainer(epochs=25, images=48, learning_rate=0.01))
    assert history[-1].score == 1.0
    assert history[-1].validation_loss < 0.3 < history[0].validation_loss


def test_the_best_epoch_is_marked_by_validation_loss():
    history, _ = fit(trainer(epochs=6))
    lowest = np.minimum.accumulate([epoch.validation_loss for epoch in history])
    assert [epoch.is_kept for epoch in history] == [True, *(np.diff(lowest) < 0)]


def test_the_same_seed_gives_the_same_weights():
    one, other, different = (
        fit(trainer(seed=seed, augment=photo_augmentation()))[1][-1][1].state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], different[name]) for name in one)


def test_an_epoch_uses_each_image_once_in_full_batches():
    whole, partial, few = trainer(images=24), trainer(images=30), trainer(images=5)
    assert [len(one) for one, _ in whole._batches()] == [8, 8, 8]
    assert len({image.numpy().tobytes() for images, _ in whole._batches() for image in images}) == 24
    assert [len(one) for one, _ in partial._batches()] == [8, 8, 8]
    assert [len(one) for one, _ in few._batches()] == [5]


def test_validation_uses_evaluation_mode_and_changes_no_weights():
    one = trainer(epochs=1)
    modes = []
    one.averaged.register_forward_hook(lambda module, *_: modes.append([m.training for m in module.modules()]))
    fit(one)
    assert modes and not any(any(mode) for mode in modes)
    before = {name: value.clone() for name, value in one.averaged.state_dict().items()}
    assert one._validate(one.validation, lambda: None) == one._validate(one.validation, lambda: None)
    assert all(torch.equal(before[name], value) for name, value in one.averaged.state_dict().items())


def test_an_error_on_a_rare_class_has_a_higher_loss():
    labels = np.array([0] * 16 + [1] * 4)
    task = ClassificationTask(labels, 2, cross_entropy)
    common, rare = torch.tensor([[3.0, -3.0]]), torch.tensor([[-3.0, 3.0]])
    rare_wrong = task.loss(torch.cat([common, common]), torch.tensor([0, 1]))
    common_wrong = task.loss(torch.cat([rare, rare]), torch.tensor([0, 1]))
    assert rare_wrong > common_wrong > task.loss(torch.cat([common, rare]), torch.tensor([0, 1]))


def test_a_nan_validation_loss_raises():
    class Broken(nn.Linear):
        def forward(self, x):
            return super().forward(x.mean((2, 3))) * (1.0 if self.training else float("nan"))

    with pytest.raises(BlockError, match=r"validation loss became nan in epoch 1"):
        fit(trainer(network=Broken(3, 3)))


def test_a_nan_training_loss_raises_with_a_lower_learning_rate():
    class Broken(nn.Linear):
        def forward(self, x):
            return super().forward(x.mean((2, 3))) * float("nan")

    with pytest.raises(BlockError, match=r"became nan in epoch 1. Try a lower learning rate, for example .* 0.0003"):
        fit(trainer(network=Broken(3, 3)))


def test_a_deadline_shortens_training_but_not_the_schedule():
    limited = trainer(epochs=100_000, deadline=time.monotonic() + 3)
    history, _ = fit(limited)
    assert 2 <= len(history) < 1000
    assert history[-1].learning_rate < 0.1 * limited.recipe.learning_rate


def test_a_passed_deadline_still_trains_one_validated_epoch():
    history, calls = fit(trainer(epochs=5, deadline=time.monotonic() - 1))
    assert len(history) == len(calls) == 1
    assert history[0].is_kept


def test_every_step_is_reported():
    steps = []
    trainer(epochs=1).fit(lambda *_: None, lambda *step: steps.append(step))
    # three training steps and one validation batch
    assert steps == [(1, 1, 3), (1, 2, 3), (1, 3, 3), (1, 3, 3)]


def test_the_learning_rate_rises_then_falls():
    shares = [training.warm_up_and_cosine(progress / 100) for progress in range(101)]
    peak = shares.index(max(shares))
    assert shares[peak] == pytest.approx(1)
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert shares[-1] < 0.01


def test_class_weights_are_higher_for_rare_classes_and_zero_for_absent_ones():
    weights = class_weights(np.array([0] * 16 + [1] * 4), 3)
    assert weights[1] / weights[0] == pytest.approx(2)
    assert weights[2] == 0
    assert (16 * weights[0] + 4 * weights[1]) / 20 == pytest.approx(1)


def test_training_uses_no_worker_processes():
    # Studio's /dev/shm is too small for the workers of a DataLoader
    assert "DataLoader" not in Path(training.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("mirror", [True, False])
def test_images_are_mirrored_only_if_mirror_is_set(mirror):
    torch.manual_seed(0)
    image = torch.zeros(3, 48, 48)
    image[:, :, 24:] = 1
    boxes = np.array([[0, 30, 20, 10, 10]])
    photo_move, box_move = photo_augmentation(mirror), box_augmentation(48, mirror)
    for moved in ([photo_move(image, 0)[0] for _ in range(20)], [box_move(image, boxes)[0] for _ in range(20)]):
        mirrored = [bool(one[:, :, :24].mean() > one[:, :, 24:].mean()) for one in moved]
        assert any(mirrored) == mirror and not all(mirrored)


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_is_random_and_keeps_shape_and_range(channels):
    torch.manual_seed(0)
    image = torch.rand(channels, 48, 48)
    augment = photo_augmentation()
    (one, label), (other, _) = augment(image, 2), augment(image, 2)
    assert label == 2
    assert one.shape == image.shape
    assert one.min() >= 0 and one.max() <= 1
    assert not torch.equal(one, other)
