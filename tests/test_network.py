import pytest
import torch
from torch import nn

from block.model.network import Classifier, NetworkShape, WithSoftmax, count_parameters, scaled_channels


def classifier(width=0.35, cut="block_5", channels=3, classes=4):
    return Classifier(NetworkShape(width, cut, channels, classes, 96)).eval()


def test_the_default_cut_at_width_1_has_56676_parameters():
    assert count_parameters(classifier(1.0)) == 56_676


@pytest.mark.parametrize(
    ("width", "channels"),
    [(0.35, [16, 8, 8, 16]), (0.5, [16, 8, 16, 16]), (0.75, [24, 16, 24, 24]), (1.0, [32, 16, 24, 32])],
)
def test_channels_scale_with_the_width(width, channels):
    assert [scaled_channels(full, width) for full in (32, 16, 24, 32)] == channels


@pytest.mark.parametrize("size", range(48, 321, 56))
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_have_the_same_shape_for_all_sizes_and_colours(size, channels):
    with torch.inference_mode():
        assert classifier(channels=channels)(torch.rand(2, channels, size, size)).shape == (2, 4)


@pytest.mark.parametrize(("cut", "channels"), [("block_3_expand", 48), ("block_5", 16), ("block_6_expand", 96)])
def test_block_3_expand_downsamples_by_4_and_other_cuts_by_8(cut, channels):
    side = 24 if cut == "block_3_expand" else 12
    with torch.inference_mode():
        assert classifier(cut=cut).features(torch.rand(1, 3, 96, 96)).shape == (1, channels, side, side)


def test_parameter_names_equal_torchvisions():
    from block.model.torchvision_compat import import_transforms

    import_transforms()
    from torchvision.models import mobilenet_v2

    theirs = {name: value.shape for name, value in mobilenet_v2(width_mult=0.35).features[:7].state_dict().items()}
    ours = {name: value.shape for name, value in classifier().features.state_dict().items()}
    assert ours == theirs


def test_stride_two_layers_pad_right_and_bottom_only():
    first = classifier().features[0][0]
    nn.init.ones_(first.weight)
    with torch.inference_mode():
        counted = first(torch.ones(1, 3, 8, 8))[0, 0]
    assert counted[0, 0] == 27
    assert counted[-1, -1] == 12


def test_with_softmax_outputs_probabilities():
    with torch.inference_mode():
        probabilities = WithSoftmax(classifier())(torch.rand(3, 3, 48, 48))
    assert torch.allclose(probabilities.sum(1), torch.ones(3))
    assert (probabilities > 0).all()
