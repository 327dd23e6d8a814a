"""ColorVideoVDP by its authors' package, where that is installed (``pip install 'adc[vdp]'``)."""

import importlib.util

import pytest
import torch

from adc.metrics.registry import build


def test_without_the_package_it_is_skipped_by_name(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pycvvdp" else find(name))
    built, skipped = build(["cvvdp"])
    assert not built and skipped == {"cvvdp": "pycvvdp is not installed"}


def test_noise_that_is_seen_more_rates_lower():
    pytest.importorskip("pycvvdp")
    metric = build(["cvvdp"])[0]["cvvdp"]
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(2, 1, 3, 64, 64, generator=generator) * 1.2 - 0.6
    noise = torch.randn(clip.shape, generator=generator)
    rates = [metric(clip + size * noise, clip) for size in (0.0, 0.1, 0.3)]
    assert all(rate.shape == (2,) for rate in rates)
    assert rates[0].tolist() == pytest.approx([10.0, 10.0])
    assert (rates[0] > rates[1]).all() and (rates[1] > rates[2]).all()
    still = metric(clip[:1] + 0.1 * noise[:1], clip[:1])
    pair = metric(*(torch.cat([one[:1], one[1:]], dim=1) for one in (clip + 0.1 * noise, clip)))
    assert pair == pytest.approx(float(rates[1].mean())) and still == pytest.approx(float(rates[1][0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric(clip + 0.1 * noise, clip), rates[1])
