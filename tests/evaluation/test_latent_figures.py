"""Figures of samplers, in cases that can be computed by hand."""

import pytest
import torch
from adc_tiny import Bicubic, TinyConditioner

from adc.evaluation.latent_figures import latent_figures
from adc.interfaces import DiffusionRestorer


class Shifted(DiffusionRestorer):
    """A sampler whose latents are the truth's, moved by a number and by a share of the noise."""

    def __init__(self, truths, shift=0.0, share=0.0):
        conditioner = TinyConditioner()
        super().__init__(Linear(), conditioner)
        self.truths, self.shift, self.share = truths, shift, share

    def sample(self, condition, noise):
        key = round(condition["lr"].sum().item(), 3)
        return self.truths[key] + self.shift + self.share * noise

    def restore(self, lr, generator=None):
        raise AssertionError("figures of samplers come from their latents")


class Linear(torch.nn.Module):
    multiple = 1


def known():
    generator = torch.Generator().manual_seed(0)
    conditioner = TinyConditioner()
    clips, truths = [], {}
    for name in "ab":
        hr = torch.rand(1, 2, 3, 32, 32, generator=generator) - 0.5
        hr = conditioner.autoencoder.decode(conditioner.autoencoder.encode(hr))  # nothing that latents cannot hold
        batch = {"lr": torch.rand(1, 2, 3, 8, 8, generator=generator) - 0.5, "hr": hr, "name": [name]}
        truths[round(conditioner.condition(batch)["lr"].sum().item(), 3)] = conditioner.clean(batch)
        clips.append(batch)
    return clips, truths


def test_a_perfect_sampler_and_a_shifted_one():
    clips, truths = known()
    found = latent_figures({"perfect": Shifted(truths), "moved": Shifted(truths, 0.25)}, clips, "perfect")
    perfect, moved, truth = found["perfect"], found["moved"], found["truth"]
    assert perfect["end_distance"] == perfect["spread"] == 0
    assert perfect["frechet"] == pytest.approx(0, abs=1e-6)
    assert perfect["sharpness_ratio"] == pytest.approx(1, abs=1e-3)
    assert perfect["lr_error"] == pytest.approx(truth["lr_error"], rel=1e-4)
    assert moved["end_distance"] == pytest.approx(0.0625, rel=1e-5)
    latents = torch.cat([own.movedim(2, -1).flatten(0, -2) for own in truths.values()])
    assert moved["frechet"] == pytest.approx((0.25 / latents.std(dim=0)).square().sum().item(), rel=1e-4)


def test_spread_is_the_variance_of_what_noise_decides():
    clips, truths = known()
    found = latent_figures({"base": Shifted(truths), "noisy": Shifted(truths, share=0.5)}, clips, "base")
    assert found["noisy"]["spread"] == pytest.approx(0.25, rel=0.1)
    assert found["noisy"]["end_distance"] == pytest.approx(0.25, rel=0.1)


def test_a_restorer_without_latents_is_encoded():
    clips, truths = known()
    found = latent_figures({"bicubic": Bicubic(), "base": Shifted(truths)}, clips, "base")
    assert "end_distance" not in found["bicubic"]
    assert found["bicubic"]["sharpness_ratio"] < 0.5 < found["truth"]["sharpness_ratio"]
    assert found["bicubic"]["frechet"] > found["base"]["frechet"] + 1


def test_a_reference_must_sample():
    clips, _ = known()
    with pytest.raises(ValueError, match="reference: 'bicubic' is no diffusion restorer among bicubic"):
        latent_figures({"bicubic": Bicubic()}, clips, "bicubic")
