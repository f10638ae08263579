import numpy as np
import pytest
import torch
from drawn_arrays import draw_squares
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from block.export import rounding
from block.model.network import Classifier, NetworkShape


def network_with_statistics(channels=3):
    # random BatchNorm statistics, like those of a trained network
    torch.manual_seed(0)
    network = Classifier(NetworkShape(0.35, "block_5", channels, 3, 96)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.2, 1.5)
    return network


def run(network, images):
    with torch.inference_mode():
        return network(torch.from_numpy(images).permute(0, 3, 1, 2))


def images(count=24, channels=3):
    return draw_squares(np.arange(count) % 3, 48, 0, channels)


def test_fused_batch_norm_gives_the_same_outputs():
    network = network_with_statistics()
    expected = run(network, images())
    fused = rounding.fuse_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert torch.allclose(run(fused, images()), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_weight_is_an_integer_multiple_of_its_scale(channels):
    rounded = rounding.with_int8_weights(network_with_statistics(channels), images(channels=channels))
    for layer in rounded.modules():
        if isinstance(layer, nn.Conv2d):
            weights = layer.weight.detach().flatten(1)
            steps = weights / (weights.abs().amax(1, keepdim=True) / 127)
            assert (steps - steps.round()).abs().max() < 1e-4


def test_rows_are_rounded_independently():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand((6, 9), generator=generator, dtype=torch.float64) * 254 - 127
    samples = torch.rand((6, 40, 9), generator=generator, dtype=torch.float64)
    covariances = samples.transpose(1, 2) @ samples
    together = rounding.round_weights(weights, covariances)
    alone = [rounding.round_weights(w[None], c[None])[0] for w, c in zip(weights, covariances, strict=True)]
    assert torch.equal(together, torch.stack(alone))


def test_the_original_network_is_not_changed():
    network = network_with_statistics()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rounding.with_int8_weights(network, images())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_difference_filter_still_ignores_brightness():
    # the weights are large and their sum is near zero; after nearest rounding the sum is not
    weights = torch.tensor([15.4] * 8 + [-123.2, 127.0, -127.0], dtype=torch.float64)
    brightness = torch.ones(11, 11, dtype=torch.float64) * 100 + torch.eye(11)
    rounded = rounding.round_weights(weights[None], brightness[None])[0]
    assert abs(weights.round().sum() - weights.sum()) > 2.9
    assert abs(rounded.sum() - weights.sum()) < 0.5


def test_rounding_for_images_is_better_than_nearest_rounding():
    network, seen, unseen = network_with_statistics(), images(24), draw_squares(np.arange(24) % 3, 48, 9)
    expected = run(network, unseen)

    def nearest(weights, _covariance):
        return weights.round()

    for_images = run(rounding.with_int8_weights(network, seen), unseen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "round_weights", nearest)
        rounded_to_nearest = run(rounding.with_int8_weights(network, seen), unseen)
    assert (for_images - expected).square().mean() < 0.7 * (rounded_to_nearest - expected).square().mean()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_rounding_uses_adjacent_integers_and_is_never_worse_than_nearest(count, seed):
    generator = np.random.default_rng(seed)
    weights = torch.from_numpy(generator.uniform(-127, 127, count))
    weights[0] = 127
    samples = torch.from_numpy(generator.normal(size=(3 * count, count)) + generator.normal())
    covariance = samples.T @ samples
    rounded = rounding.round_weights(weights[None], covariance[None])[0]
    assert torch.equal(rounded, rounded.round())
    assert (rounded - weights).abs().max() < 1 + 1e-9
    assert rounded.abs().max() == rounded[0] == 127

    def squared_error(chosen):
        error = chosen - weights
        return float(error @ covariance @ error)

    assert squared_error(rounded) <= squared_error(weights.round()) + 1e-6


def test_zero_weights_and_one_pixel_images_work():
    layer = nn.Sequential(nn.Conv2d(3, 2, 1, bias=True))
    nn.init.zeros_(layer[0].weight)
    rounded = rounding.with_int8_weights(layer, np.zeros((1, 1, 1, 3), np.float32))
    assert torch.equal(rounded[0].weight, layer[0].weight)
