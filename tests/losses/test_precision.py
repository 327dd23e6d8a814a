"""Perceptual distances compute in float32 under an autocast, and so do their gradients."""

import types

import pytest
import torch
from torch import nn

from adc.metrics.registry import find_metric
from adc.ops.precision import computing_in


def near():
    """A clip, and one that is 1% apart."""
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(1, 2, 3, 64, 64, generator=generator) * 2 - 1
    return first, (first + 0.02 * torch.randn(first.shape, generator=generator)).clamp(-1, 1)


def lpips_loss(monkeypatch):
    lpips = pytest.importorskip("lpips")
    original = lpips.LPIPS
    monkeypatch.setattr(lpips, "LPIPS", lambda net, verbose: original(net=net, pnet_rand=True, verbose=verbose))
    from adc.losses import LPIPS

    torch.manual_seed(0)
    return LPIPS("alex")


def dists_loss(monkeypatch):
    pyiqa = pytest.importorskip("pyiqa")
    from pyiqa.archs import dists_arch
    from torchvision.models import vgg

    torch.manual_seed(0)
    layers = vgg.make_layers(vgg.cfgs["D"])
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    small = types.SimpleNamespace(features=layers)
    monkeypatch.setattr(dists_arch.models, "vgg16", lambda **options: small)
    made = dists_arch.DISTS(pretrained=False)
    monkeypatch.setattr(pyiqa, "create_metric", lambda name, as_loss, **options: made)
    from adc.losses import DISTS

    return DISTS()


def value_and_gradient(loss, prediction, target):
    prediction = prediction.detach().requires_grad_()
    value = loss(prediction, target)
    value.backward()
    return value.detach(), prediction.grad


@pytest.mark.parametrize("build", [lpips_loss, dists_loss])
def test_values_and_gradients_are_those_of_float32(build, monkeypatch):
    loss = build(monkeypatch)
    prediction, target = near()
    value, gradient = value_and_gradient(loss, prediction, target)
    with torch.autocast("cpu", torch.bfloat16):
        again, under = value_and_gradient(loss, prediction, target)
        rounded = loss(prediction.bfloat16(), target.bfloat16())
    assert value > 0 and gradient.norm() > 0
    assert again.dtype == torch.float32 and torch.equal(again, value)
    assert (under - gradient).norm() <= 1e-6 * gradient.norm()
    assert rounded == loss(prediction.bfloat16().float(), target.bfloat16().float())


@pytest.mark.parametrize("name", ["lpips", "dists", "tlpips"])
def test_metrics_are_those_of_float32(name):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 8, 3)
    metric = find_metric(name)()
    metric.network = lambda one, other: (layer(one) - layer(other)).square().mean()
    first, second = near()
    with torch.no_grad():
        expected = metric(first, second)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(metric(first, second), expected)


def test_what_a_context_computes_in():
    layer, x = nn.Linear(4, 4), torch.rand(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        for precision in ("float32", "bfloat16", "float16"):
            with computing_in(precision, x.device):
                assert layer(x).dtype == getattr(torch, precision)
    with computing_in("float32", torch.device("meta")):
        pass
    with pytest.raises(ValueError, match="precision: bfloat16: torch has no autocast on meta; take float32"):
        computing_in("bfloat16", torch.device("meta"))
