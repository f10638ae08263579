import numpy as np
import pytest
import torch
from drawn_arrays import draw_squares
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from block.export import rounding
from block.model.network import Classifier, NetworkShape


def trained_looking_network(channels=3):
    # random BatchNorm statistics, as training leaves them
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


def test_batch_norm_is_fused_without_a_change():
    network = trained_looking_network()
    expected = run(network, images())
    fused = rounding.fuse_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert torch.allclose(run(fused, images()), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_weight_is_a_whole_number_of_scales(channels):
    rounded = rounding.with_int8_weights(trained_looking_network(channels), images(channels=channels))
    for layer in rounded.modules():
        if isinstance(layer, nn.Conv2d):
            weights = layer.weight.detach().flatten(1)
            steps = weights / (weights.abs().amax(1, keepdim=True) / 127)
            assert (steps - steps.round()).abs().max() < 1e-4


def test_rows_are_rounded_as_they_would_be_alone():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand((6, 9), generator=generator, dtype=torch.float64) * 254 - 127
    samples = torch.rand((6, 40, 9), generator=generator, dtype=torch.float64)
    covariances = samples.transpose(1, 2) @ samples
    together = rounding.round_weights(weights, covariances)
    alone = [rounding.round_weights(w[None], c[None])[0] for w, c in zip(weights, covariances, strict=True)]
    assert torch.equal(together, torch.stack(alone))


def test_the_network_handed_in_is_left_alone():
    network = trained_looking_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rounding.with_int8_weights(network, images())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_filter_that_takes_differences_still_ignores_brightness():
    # large weights that sum to zero: rounded one by one they answer to plain brightness
    weights = torch.tensor([15.4] * 8 + [-123.2, 127.0, -127.0], dtype=torch.float64)
    brightness = torch.ones(11, 11, dtype=torch.float64) * 100 + torch.eye(11)
    rounded = rounding.round_weights(weights[None], brightness[None])[0]
    assert abs(weights.round().sum() - weights.sum()) > 2.9
    assert abs(rounded.sum() - weights.sum()) < 0.5


def test_rounding_for_the_images_beats_rounding_each_weight():
    network, seen, unseen = trained_looking_network(), images(24), draw_squares(np.arange(24) % 3, 48, 9)
    expected = run(network, unseen)

    def nearest(weights, _covariance):
        return weights.round()

    for_images = run(rounding.with_int8_weights(network, seen), unseen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "round_weights", nearest)
        one_by_one = run(rounding.with_int8_weights(network, seen), unseen)
    assert (for_images - expected).square().mean() < 0.7 * (one_by_one - expected).square().mean()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_rounding_never_errs_more_than_the_nearest_and_stays_beside_the_weight(count, seed):
    generator = np.random.default_rng(seed)
    weights = torch.from_numpy(generator.uniform(-127, 127, count))
    weights[0] = 127
    samples = torch.from_numpy(generator.normal(size=(3 * count, count)) + generator.normal())
    covariance = samples.T @ samples
    rounded = rounding.round_weights(weights[None], covariance[None])[0]
    assert torch.equal(rounded, rounded.round())
    assert (rounded - weights).abs().max() < 1 + 1e-9
    assert rounded.abs().max() == rounded[0] == 127

    def harm(chosen):
        error = chosen - weights
        return float(error @ covariance @ error)

    assert harm(rounded) <= harm(weights.round()) + 1e-6


def test_a_channel_of_zeros_and_one_pixel_images_are_no_trouble():
    layer = nn.Sequential(nn.Conv2d(3, 2, 1, bias=True))
    nn.init.zeros_(layer[0].weight)
    rounded = rounding.with_int8_weights(layer, np.zeros((1, 1, 1, 3), np.float32))
    assert torch.equal(rounded[0].weight, layer[0].weight)
