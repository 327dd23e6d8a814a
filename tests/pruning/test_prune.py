from itertools import pairwise

import mirror
import pytest
import torch
from adc_sd21 import AdcSRStudent
from adc_tiny import TinyStudent
from torch import nn

from adc.interfaces import Prunable, Student
from adc.pruning import Magnitude, Prefix, Taylor, prune
from adc.pruning.prune import find_groups


def small_student():
    torch.manual_seed(1)
    return AdcSRStudent(**mirror.SMALL)


def test_published_widths():
    """Reference sections 1.3 to 1.5: 25% of the UNet and 50% of the decoder of Stable Diffusion 2.1."""
    with torch.device("meta"):
        student = AdcSRStudent()
    cuts = prune(student, {"unet": 0.25, "decoder": 0.5}, Prefix())
    unet, decoder = student.unet, student.decoder
    assert sum(p.numel() for p in unet.parameters()) == 443_695_696
    assert sum(p.numel() for p in student.mid_block.parameters()) == 2_626_048
    assert sum(p.numel() for p in decoder.parameters()) == 12_387_459
    assert tuple(unet.conv_in.weight.shape[:2]) == (240, 12)
    assert tuple(unet.conv_out.weight.shape[:2]) == (256, 240)
    assert [block.resnets[0].conv2.out_channels for block in unet.down_blocks] == [240, 480, 960, 960]
    inputs = [[resnet.conv1.in_channels for resnet in block.resnets] for block in unet.up_blocks]
    assert inputs == [[1920, 1920, 1920], [1920, 1920, 1440], [1440, 960, 720], [720, 480, 480]]
    groups = {m.num_channels: m.num_groups for m in unet.modules() if isinstance(m, nn.GroupNorm)}
    assert groups == {240: 24, 720: 24, 480: 32, 960: 32, 1440: 32, 1920: 32}
    transformer = unet.down_blocks[0].attentions[0].transformer_blocks[0]
    assert transformer.ff.net[0].proj.weight.shape == (1920, 240) and transformer.ff.net[2].weight.shape == (240, 960)
    attention = transformer.attn1
    assert (attention.heads, attention.inner_dim, attention.to_q.out_features) == (5, 240, 240)
    assert attention.scale == pytest.approx(48**-0.5)
    assert [block.resnets[0].conv2.out_channels for block in decoder.up_blocks] == [256, 256, 128, 64]
    assert decoder.conv_in.weight.shape == (256, 4, 3, 3) and decoder.conv_out.weight.shape == (3, 64, 3, 3)
    assert unet.down_blocks[0].downsamplers[0].channels == 240 and unet.up_blocks[0].upsamplers[0].channels == 960
    assert cuts["unet"].changed == cuts["unet"].layers


def test_prefix_keeps_the_first_channels_of_every_layer():
    student, full = small_student(), small_student()
    prune(student, {"unet": 0.25, "decoder": 0.5}, Prefix())
    own = full.state_dict()
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, own[name][tuple(slice(size) for size in tensor.shape)]), name


@pytest.mark.parametrize("importance", [Magnitude(), Taylor(batches=3)], ids=lambda value: type(value).__name__)
def test_cutting_idle_channels_changes_nothing(importance):
    """Heads, halves of gates and skip connections stay aligned, and norms and attention compute what they did."""
    student = mirror.mirrored_student()
    plan = student.prunable()
    inputs = [torch.randn(2, *tensor.shape[1:], dtype=torch.float64) for tensor in plan.example]
    clips = [torch.rand(2, 1, 3, 8, 8, dtype=torch.float64) for _ in range(3)]
    full = sum(p.numel() for p in student.parameters())
    with torch.no_grad():
        before = plan.network(*inputs)
        prune(student, {"unet": 0.5, "decoder": 0.5}, importance, clips)
        after = plan.network(*inputs)
    assert sum(p.numel() for p in student.parameters()) < 0.27 * full
    assert before.std() > 0.1
    torch.testing.assert_close(after, before, rtol=1e-8, atol=1e-8)


def test_unaligned_cutting_breaks_the_same_student():
    student = mirror.mirrored_student()
    plan = student.prunable()
    inputs = [torch.randn(tensor.shape, dtype=torch.float64) for tensor in plan.example]
    importance = Magnitude()
    importance.aligned = False
    with torch.no_grad():
        before = plan.network(*inputs)
        prune(student, {"unet": 0.5, "decoder": 0.5}, importance)
        assert (plan.network(*inputs) - before).abs().mean() > 0.05 * before.std()


def test_aligned_prefix_keeps_the_first_of_each_head_gate_and_norm_group():
    student, full = small_student(), small_student()
    prune(student, {"unet": 0.5}, Prefix(aligned=True))
    block, whole = (s.unet.down_blocks[0].attentions[0].transformer_blocks[0] for s in (student, full))
    first = torch.arange(16)
    of_each = torch.arange(64).reshape(8, 8)[:, :4].flatten()
    of_each_skip = torch.arange(32).reshape(8, 4)[:, :2].flatten()
    heads = torch.cat([torch.arange(8), 16 + torch.arange(8)])
    torch.testing.assert_close(block.attn1.to_k.weight, whole.attn1.to_k.weight[heads][:, first])
    torch.testing.assert_close(block.attn1.to_q.weight, whole.attn1.to_q.weight[heads][:, first] * 0.5**0.5)
    torch.testing.assert_close(block.attn1.to_out[0].weight, whole.attn1.to_out[0].weight[first][:, heads])
    gates = torch.cat([torch.arange(64), 128 + torch.arange(64)])
    torch.testing.assert_close(block.ff.net[0].proj.weight, whole.ff.net[0].proj.weight[gates][:, first])
    joined = torch.cat([torch.arange(32), 64 + of_each_skip])
    resnet, wide = (s.unet.up_blocks[0].resnets[1] for s in (student, full))
    torch.testing.assert_close(resnet.conv1.weight, wide.conv1.weight[of_each][:, joined])


def test_a_joint_takes_the_ratio_of_the_last_part():
    student = small_student()
    prune(student, {"unet": 0.25, "decoder": 0.5}, Magnitude())
    assert tuple(student.unet.conv_out.weight.shape[:2]) == (16, 24)
    assert student.decoder.conv_in.out_channels == student.mid_block.resnets[0].conv2.out_channels == 16
    alone = small_student()
    prune(alone, {"unet": 0.25}, Magnitude())
    assert tuple(alone.unet.conv_out.weight.shape[:2]) == (32, 24)
    assert sum(p.numel() for p in alone.decoder.parameters()) == sum(
        p.numel() for p in small_student().decoder.parameters()
    )


def test_halves_of_a_gate_are_one_unit():
    student = small_student()
    plan = student.prunable()
    gate = student.unet.down_blocks[0].attentions[0].transformer_blocks[0].ff.net[0].proj
    (group,) = [g for g in find_groups(plan) if any(s.layer is gate and s.output for s in g.sides)]
    assert group.size == 128
    (side,) = [s for s in group.sides if s.layer is gate]
    assert torch.equal(side.units, torch.cat([torch.arange(128), torch.arange(128)]))


def test_frozen_parameters_and_modes_stay():
    student = small_student()
    student.decoder.requires_grad_(False)
    student.unet.eval()
    prune(student, {"unet": 0.25, "decoder": 0.5}, Magnitude())
    assert not any(p.requires_grad for p in student.decoder.parameters())
    assert all(p.requires_grad for p in student.unet.parameters())
    assert student.decoder.training and not student.unet.conv_in.training


def test_zero_ratio_and_ignored_layers():
    student = TinyStudent()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    cuts = prune(student, {"body": 0.0}, Magnitude())
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
    assert cuts["student"].changed == 0
    prune(student, {"body": 0.5, "decoder": 0.5}, Magnitude())
    assert student.restore(torch.zeros(1, 2, 3, 16, 16)).shape == (1, 2, 3, 64, 64)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"decodr": 0.5}, "no part 'decodr'; did you mean decoder"),
        ({"vae": 0.5}, "there are body, decoder"),
        ({"body": 1.0}, "body is 1.0; expected"),
        ({"body": -0.1}, "body is -0.1; expected"),
    ],
)
def test_wrong_ratios(ratios, message):
    with pytest.raises(ValueError, match=message):
        prune(TinyStudent(), ratios, Magnitude())


class Custom(Student):
    """A student of any network."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def encode(self, lr):
        return lr

    def decode(self, feature):
        return self.network(feature.flatten(0, 1)).unflatten(0, feature.shape[:2])

    def prunable(self):
        return Prunable(self.network, (torch.zeros(1, 3, 8, 8),), {"network": self.network})


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)
        self.shift = nn.Parameter(torch.zeros(8, 1, 1))

    def forward(self, x):
        return self.last(self.first(x) + self.shift)


def test_what_the_result_or_a_bare_parameter_depends_on_stays():
    student = Custom(Shifted())
    prune(student, {"network": 0.5}, Magnitude())
    assert (student.network.first.out_channels, student.network.last.out_channels) == (8, 3)


def test_a_grouped_convolution_keeps_its_neighbours():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 3, 1))
    prune(Custom(network), {"network": 0.5}, Magnitude())
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8) and network[0].out_channels == 8


def test_a_depthwise_convolution_follows():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 3, 1))
    prune(Custom(network), {"network": 0.5}, Magnitude())
    assert (network[0].out_channels, network[1].groups, network[2].in_channels) == (4, 4, 4)


@pytest.mark.parametrize(
    ("network", "widths"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.PixelShuffle(2), nn.Conv2d(2, 8, 1), nn.Conv2d(8, 3, 1)), [4, 4, 3]),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.PixelUnshuffle(2), nn.Conv2d(8, 3, 1)), [1, 3]),
    ],
)
def test_a_pixel_shuffle_is_followed(network, widths):
    """What is left computes what the whole did where the channels that went were zero."""
    torch.manual_seed(0)
    image, layers = torch.rand(1, 3, 8, 8), [layer for layer in network if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer, reader in pairwise(layers):
            layer.weight[layer.out_channels // 2 :], layer.bias[layer.out_channels // 2 :] = 0, 0
            reader.weight[:, reader.in_channels // 2 :] = 0
        before = network(image)
        prune(Custom(network), {"network": 0.5}, Magnitude())
        assert [layer.out_channels for layer in layers] == widths
        torch.testing.assert_close(network(image), before)


class Constant(nn.Module):
    """Adds a constant, in which a dependency graph sees no channels."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("constant", torch.ones(1, width, 1, 1))

    def forward(self, x):
        return x + self.constant


def test_what_cannot_be_followed_is_told():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), Constant(8), nn.Conv2d(8, 3, 1))
    with pytest.raises(ValueError, match=r"does not run .* `ignored` of prunable"):
        prune(Custom(network), {"network": 0.5}, Magnitude())
