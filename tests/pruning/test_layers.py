import pytest
import torch
from torch import nn

from adc.pruning.layers import is_channelwise, keep, norm_groups, width


@pytest.mark.parametrize(
    ("channels", "most", "groups"),
    [
        (240, 32, 24),
        (720, 32, 24),
        (480, 32, 32),
        (960, 32, 32),
        (1440, 32, 32),
        (1920, 32, 32),
        (64, 32, 32),
        (36, 32, 12),
        (20, 32, 4),
        (7, 32, 1),
        (64, 8, 8),
        (36, 8, 6),
        (96, 24, 24),
    ],
)
def test_norm_groups(channels, most, groups):
    assert norm_groups(channels, most) == groups


KEPT = torch.tensor([0, 2, 3])


@pytest.mark.parametrize("cls", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_convolution(cls):
    layer = cls(4, 5, 3)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    keep(layer, True, KEPT)
    keep(layer, False, torch.tensor([1, 3]))
    assert torch.equal(layer.weight, weight[KEPT][:, [1, 3]]) and torch.equal(layer.bias, bias[KEPT])
    assert (layer.out_channels, layer.in_channels) == (3, 2)
    layer(torch.zeros(1, 2, *[3] * (weight.ndim - 2)))


def test_transposed_convolution():
    layer = nn.ConvTranspose2d(4, 5, 2)
    weight = layer.weight.detach().clone()
    keep(layer, True, KEPT)
    keep(layer, False, torch.tensor([1, 3]))
    assert torch.equal(layer.weight, weight[[1, 3]][:, KEPT])
    assert layer(torch.zeros(1, 2, 3, 3)).shape[1] == 3


def test_linear_without_bias():
    layer = nn.Linear(4, 5, bias=False)
    weight = layer.weight.detach().clone()
    keep(layer, False, KEPT)
    assert torch.equal(layer.weight, weight[:, KEPT]) and layer.in_features == 3
    assert layer.out_features == 5


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.LayerNorm(4), (2, 3)),
        (nn.GroupNorm(2, 4), (2, 3, 5)),
        (nn.GroupNorm(4, 4, affine=False), (2, 3, 5)),
        (nn.BatchNorm2d(4), (2, 3, 5, 5)),
        (nn.InstanceNorm2d(4), (2, 3, 5, 5)),
        (nn.PReLU(4), (2, 3, 5)),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), (2, 3, 5, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_with_one_width(layer, shape):
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert width(layer, True) == width(layer, False) == 4
    keep(layer, True, KEPT)
    assert width(layer, True) == 3
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name][KEPT] if before[name].ndim else before[name])
    assert layer(torch.rand(shape)).shape == shape


def test_what_cannot_be_cut():
    assert width(nn.Conv2d(4, 8, 3, groups=2), True) is None
    assert width(nn.LayerNorm((4, 4)), True) is None
    assert width(nn.Embedding(4, 4), True) is None


def test_frozen_stays_frozen():
    layer = nn.Conv2d(4, 4, 1)
    layer.weight.requires_grad_(False)
    keep(layer, True, KEPT)
    assert not layer.weight.requires_grad and layer.bias.requires_grad


class Scale(nn.Module):
    """A layer of one's own with a number for each channel."""

    def __init__(self, *shape, buffer=None):
        super().__init__()
        self.gamma = nn.Parameter(torch.arange(float(torch.Size(shape).numel())).reshape(shape))
        if buffer is not None:
            self.register_buffer("mean", torch.zeros(buffer))


def test_layers_of_other_classes_with_a_number_for_each_channel():
    for layer in (Scale(4), Scale(4, 1, 1, 1), Scale(1, 4, 1), Scale(4, 1, buffer=4), nn.RMSNorm(4)):
        assert is_channelwise(layer) and width(layer, True) == width(layer, False) == 4
        keep(layer, True, KEPT)
        assert width(layer, True) == 3
    assert layer.normalized_shape == (3,)
    scale = Scale(1, 4, 1)
    keep(scale, True, KEPT)
    assert scale.gamma.shape == (1, 3, 1) and scale.gamma.flatten().tolist() == [0, 2, 3]
    assert is_channelwise(Scale(1, 1, 1)) and width(Scale(1, 1, 1), True) == 1
    others = (Scale(4, 2), Scale(), Scale(1), Scale(4, buffer=5), nn.Linear(4, 1, bias=False), nn.LayerNorm(4))
    assert not any(is_channelwise(layer) for layer in (*others, nn.Embedding(1, 4), nn.ReLU(), nn.Sequential(Scale(4))))
    assert all(width(layer, True) is None for layer in (Scale(4, 2), Scale(1), nn.ReLU()))
