import copy
import os
import subprocess
import sys

import pytest
import torch
from adc_sd21 import AdcSRStudent, OSEDiff
from adc_tiny import TinyStudent
from lacking import without
from torch import nn
from torch.nn import functional as F

from adc.inference import onednn
from adc.inference.prepare import FoldedUpsample, PackedConv2d, PackedLinear, Prepared, prepare

VAE = {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def student():
    return AdcSRStudent(vae=VAE, unet=UNET, unshuffle=2)


def clip(height=34, width=21):
    return torch.rand(1, 2, 3, height, width) * 2 - 1


def packable(number):
    if not onednn.can_pack(number):
        pytest.skip(f"this CPU does not compute with packed weights in {number}")


def restorers():
    return {
        "student": student,
        "without norms": lambda: AdcSRStudent(folder="demo"),
        "teacher": lambda: OSEDiff(folder="demo"),
        "timed": lambda: OSEDiff(vae=VAE, unet={**UNET, "cross_attention_dim": 8, "sample_size": 8}),
        "tiny": TinyStudent,
    }


@pytest.mark.parametrize("name", restorers())
def test_a_prepared_restorer_restores_the_same(name):
    original = restorers()[name]()
    ready = prepare(copy.deepcopy(original))
    lr = clip(16, 21)
    with torch.no_grad():
        expected = original.eval().restore(lr)
    torch.testing.assert_close(ready.restore(lr), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_the_bits_are_nearly_as_good(precision):
    original = AdcSRStudent(folder="demo").eval()
    ready = prepare(copy.deepcopy(original), precision)
    lr = F.interpolate(clip(6, 8)[0], scale_factor=4, mode="bicubic")[None].clamp(-1, 1)
    with torch.no_grad():
        expected = original.restore(lr)
    got = ready.restore(lr)
    assert got.dtype == torch.float32
    assert not torch.equal(got, expected)
    assert 10 * torch.log10(4 / (got - expected).square().mean()) > 40
    assert ready.stored < 0.6 * sum(p.numel() * 4 for p in original.parameters())


def test_nothing_can_be_trained_any_more():
    ready = prepare(student()).train()
    assert not ready.training and not ready.network.training
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    assert not ready.restore(clip().requires_grad_()).requires_grad
    with pytest.raises(ValueError, match="prepared already"):
        prepare(ready)


def test_every_convolution_and_block_is_replaced_once():
    original = student()
    ready = prepare(original)
    kinds = [type(module) for module in ready.modules()]
    assert nn.Conv2d not in kinds
    assert kinds.count(FoldedUpsample) == 4
    assert isinstance(ready, Prepared) and PackedConv2d in kinds
    assert "ResnetBlock2D" not in {kind.__name__ for kind in kinds}


@pytest.mark.parametrize("number", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "arguments",
    [{"padding": 1}, {"padding": 1, "stride": 2}, {"padding": 2, "dilation": 2}, {"groups": 4}, {"bias": False}],
)
def test_a_packed_convolution_is_the_convolution(number, arguments):
    packable(number)
    convolution = nn.Conv2d(8, 12, 3, **arguments).to(number).requires_grad_(False)
    x = torch.randn(2, 8, 11, 9).to(number)
    expected = convolution(x)
    packed = PackedConv2d(convolution)
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if number is torch.float32 else {"atol": 0.03, "rtol": 0.03}
    torch.testing.assert_close(packed(x), expected, **tolerance)
    added = torch.randn_like(expected)
    kept = added.clone()
    torch.testing.assert_close(packed(x, added), expected + added, **tolerance)
    assert torch.equal(added, kept)


@pytest.mark.parametrize("lacking", ["mkldnn::_reorder_conv", "mkldnn::_convolution_pointwise", "mkldnn::_linear"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", ["student", "timed"])
def test_where_nothing_can_be_packed_the_plain_layers_compute(lacking, precision, name):
    original = restorers()[name]().eval()
    lr = clip(16, 21)
    with without(lacking, torch.float32, torch.bfloat16, torch.float16):
        ready = prepare(copy.deepcopy(original), precision)
        found = ready.restore(lr)
    assert not any(isinstance(module, PackedConv2d | PackedLinear) for module in ready.modules())
    with torch.no_grad():
        difference = found - original.restore(lr)
    assert 10 * torch.log10(4 / difference.square().mean()) > {"fp32": 100, "bf16": 30, "fp16": 45}[precision]


def test_what_is_not_computed_at_all_is_one_line():
    with without("aten::convolution", torch.float16), pytest.raises(ValueError) as error:
        prepare(student(), "fp16")
    assert str(error.value) == (
        "precision: fp16: this CPU does not compute in it (aten::convolution: not implemented here); take fp32 or bf16."
    )


def test_a_packed_convolution_takes_one_size_after_another():
    packable(torch.bfloat16)
    convolution = nn.Conv2d(96, 480, 3, padding=1).to(torch.bfloat16).requires_grad_(False)
    clips = [torch.randn(1, 96, *size).bfloat16() for size in ((32, 33), (8, 8), (32, 33), (40, 8))]
    expected = [convolution(x) for x in clips]
    packed = PackedConv2d(convolution)
    for x, wanted in zip(clips, expected, strict=True):
        torch.testing.assert_close(packed(x), wanted, atol=0.03, rtol=0.03)


REPEATED = """
import sys, torch
from torch import nn
from adc.inference.prepare import PackedConv2d
number = getattr(torch, sys.argv[1])
packed = PackedConv2d(nn.Conv2d(480, 480, 3, padding=1).to(number).requires_grad_(False))
for pixels in (8, 32, 8):
    x = torch.randn(1, 480, pixels, pixels).to(number).to(memory_format=torch.channels_last)
    packed(x)
    print("once more", flush=True)
    packed(x)
    packed(x)
    print("enough", flush=True)
"""


@pytest.mark.parametrize("number", ["float32", "bfloat16", "float16"])
def test_weights_are_laid_out_once_for_a_size(number):
    """oneDNN's own record of what it computed: a weight in another layout than the best is changed at every call."""
    packable(getattr(torch, number))
    command = [sys.executable, "-c", REPEATED, number]
    environment = {**os.environ, "ONEDNN_VERBOSE": "1"}
    record = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    sections = [part.partition("enough")[0] for part in record.split("once more")[1:]]
    assert len(sections) == 3
    for section in sections:
        assert section.count(",exec,cpu,convolution,") == 2
        assert not [line for line in section.splitlines() if ",reorder," in line and ",480x480x3x3," in line]


def test_a_packed_linear_layer_is_the_layer():
    packable(torch.bfloat16)
    layer = nn.Linear(7, 5).to(torch.bfloat16).requires_grad_(False)
    x = torch.randn(2, 3, 7)
    torch.testing.assert_close(PackedLinear(layer)(x), layer(x.bfloat16()), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8), (16, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_enlargement_is_the_enlargement_and_the_convolution(height, width, bias):
    convolution = nn.Conv2d(5, 6, 3, padding=1, bias=bias).requires_grad_(False)
    x = torch.randn(2, 5, height, width)
    expected = convolution(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    folded = FoldedUpsample(convolution)
    torch.testing.assert_close(folded(x), expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="pad first"):
        folded(x, (2 * height - 1, 2 * width))
