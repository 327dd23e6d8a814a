import math

import pytest
import torch
from adc_tiny import TinyAutoencoder, TinySpace, TinyStudent

from adc import testing
from adc.interfaces import Loss
from adc.losses import L1, MSE, Charbonnier, FeatureMatching

EVERY = [L1(), MSE("feature", "teacher", 2.0), Charbonnier(epsilon=0.1), FeatureMatching(TinySpace())]


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: type(loss).__name__)
def test_contracts(loss):
    testing.check_loss(loss)


def test_closed_forms():
    prediction, target = torch.tensor([0.0, 1.0, -1.0, 3.0]), torch.tensor([0.0, 0.5, 1.0, 3.0])
    prediction, target = (x.view(1, 1, 1, 2, 2) for x in (prediction, target))
    assert L1()(prediction, target).item() == pytest.approx((0.5 + 2) / 4)
    assert MSE()(prediction, target).item() == pytest.approx((0.25 + 4) / 4)
    parts = [math.sqrt(d**2 + 0.1**2) for d in (0, 0.5, 2, 0)]
    assert Charbonnier(epsilon=0.1)(prediction, target).item() == pytest.approx(sum(parts) / 4)


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: type(loss).__name__)
def test_one_value_for_each_clip(loss):
    prediction, target = torch.zeros(2, 1, 3, 16, 16), torch.zeros(2, 1, 3, 16, 16)
    target[1] = 0.5
    each = loss.per_sample(prediction, target)
    assert each.shape == (2,)
    assert each[0] == loss(prediction[:1], target[:1]) and each[1] == loss(prediction[1:], target[1:])
    assert each[1] > each[0]


def test_half_precision_is_compared_in_float32():
    big = torch.full((1, 1, 1, 1, 2), 300.0, dtype=torch.float16)
    assert MSE()(big, torch.zeros_like(big)).item() == 90_000


def test_feature_matching_looks_through_a_frozen_space():
    space = TinySpace()
    loss = FeatureMatching(space)
    clip, other = torch.rand(1, 1, 3, 16, 16, requires_grad=True), torch.rand(1, 1, 3, 16, 16)
    value = loss(clip, other)
    assert value.item() == pytest.approx((space.embed(clip) - space.embed(other)).abs().mean().item(), rel=1e-5)
    value.backward()
    assert clip.grad.any()
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())


def test_feature_matching_sees_nothing_that_the_codec_drops():
    """A pattern that `TinyAutoencoder` cannot hold costs nothing: the space decides what is compared."""
    flat = torch.zeros(1, 1, 3, 16, 16)
    pattern = (
        torch.tensor([1.0, -1.0, -1.0, 1.0]).repeat(4).expand_as(flat)
        * torch.tensor([1.0, -1, 1, -1]).repeat(4)[:, None]
    )
    assert TinyAutoencoder().encode(pattern).abs().max() < 1e-6
    assert FeatureMatching(TinySpace(TinyStudent()))(pattern, flat).item() == pytest.approx(0, abs=1e-6)
    assert L1()(pattern, flat).item() == 1


def test_lpips_of_random_weights(monkeypatch):
    """Its library is asked for the frozen backbone that the recipe names, and frames are compared one by one."""
    lpips = pytest.importorskip("lpips")
    original = lpips.LPIPS
    monkeypatch.setattr(lpips, "LPIPS", lambda net, verbose: original(net=net, pnet_rand=True, verbose=verbose))
    from adc.losses import LPIPS

    torch.manual_seed(0)
    loss = LPIPS("alex")
    assert isinstance(loss, Loss) and not any(p.requires_grad for p in loss.parameters())
    first, second = torch.rand(1, 2, 3, 64, 64) * 2 - 1, torch.rand(1, 2, 3, 64, 64) * 2 - 1
    assert loss(first, first).item() == 0
    frames = [loss(first[:, t : t + 1], second[:, t : t + 1]) for t in range(2)]
    assert loss(first, second).item() == pytest.approx(torch.stack(frames).mean().item(), rel=1e-5)


def test_lpips_without_its_weights_says_where_they_belong(monkeypatch, tmp_path):
    lpips = pytest.importorskip("lpips")

    def unreachable(**options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(lpips, "LPIPS", unreachable)
    from adc.losses import LPIPS

    with pytest.raises(FileNotFoundError, match=f"vgg are not in {tmp_path}.*no network"):
        LPIPS()
