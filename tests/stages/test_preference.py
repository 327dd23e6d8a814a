"""Preference optimisation on tiny networks."""

import math
from functools import partial

import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser

from adc.inference.latent import LatentDiffusion
from adc.ops.flow import TimeLaw
from adc.ops.random import ClipRandom
from adc.stages import PreferenceOptimization
from adc.testing import check_stage
from adc.training import Role

SGD = partial(torch.optim.SGD, lr=1e-3)


def stage(seed=1, **options):
    student = LatentDiffusion(TinyDenoiser(8), TinyConditioner(), steps=1)
    given = {"beta": 20.0, **options}
    return PreferenceOptimization(student, TinyDenoiser(8, seed=seed), {"student": Role(SGD)}, **given)


def batch(clips=2):
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(clips, 1, 3, 16, 16, generator=generator) * 2 - 1
    chosen, rejected = (torch.randn(clips, 1, 12, 16, 16, generator=generator) for _ in range(2))
    return {"lr": lr, "name": [str(number) for number in range(clips)], "chosen": chosen, "rejected": rejected}


def loss_of(one, given=None):
    one.logged = {}
    one.log_dict = lambda values: one.logged.update({name: float(value) for name, value in values.items()})
    one.random_of = lambda given: ClipRandom(len(given["lr"]), 0)
    return one.student_loss(one.prepare(given or batch()))


@pytest.mark.parametrize("times", [None, TimeLaw(low=0.2)])
def test_contract(times):
    check_stage(stage(times=times), batch(), batches=3)


@pytest.mark.slow
def test_processes_and_sharded_networks_agree():
    check_stage(stage(), batch(4), batches=2, processes=2)


@pytest.mark.parametrize("times", [None, TimeLaw(low=0.2)])
def test_at_the_reference_it_costs_log_two(times):
    one = stage(seed=0, anchor=0.0, times=times)
    losses = loss_of(one)
    assert set(losses) == {"dpo"}
    assert losses["dpo"].item() == pytest.approx(math.log(2), rel=1e-6)
    assert one.logged["preference/margin"] == 0


def test_the_margin_at_pure_noise_is_linear_in_the_output():
    """With t = 1 and x = eps - v it is beta times the mean of (x_S - x_ref)(z_w - z_l), reference section 4."""
    one, given = stage(), batch()
    loss_of(one, given)
    noise = ClipRandom(2, 0).normal(given["chosen"])
    condition = one.conditioner.condition(given)
    with torch.no_grad():
        velocities = [network(noise, torch.ones(2), condition)[0] for network in (one.student.denoiser, one.reference)]
    moved = velocities[1] - velocities[0]  # x_S - x_ref
    expected = one.beta * (moved * (given["chosen"] - given["rejected"])).flatten(1).mean(1)
    assert one.logged["preference/margin"] == pytest.approx(expected.mean().item(), rel=1e-3)
    assert one.logged["preference/accuracy"] == (expected > 0).float().mean().item()


def test_one_forward_serves_both_at_pure_noise():
    one, calls = stage(), []
    for name, network in (("S", one.student.denoiser), ("R", one.reference)):
        network.register_forward_pre_hook(lambda *_, name=name: calls.append((name, torch.is_grad_enabled())))
    loss_of(one)
    assert calls == [("S", True), ("R", False)]


def test_both_of_a_pair_have_one_time_and_one_noise():
    one, given, seen = stage(times=TimeLaw(low=0.2, high=0.8)), batch(), []
    one.student.denoiser.register_forward_pre_hook(lambda network, arguments: seen.append(arguments))
    loss_of(one, given)
    (((noisy, t, condition),)) = seen
    assert torch.equal(t[:2], t[2:])
    assert torch.equal(condition["lr"][:2], condition["lr"][2:])
    share = t.view(-1, 1, 1, 1, 1)
    noise = (noisy - (1 - share) * torch.cat([given["chosen"], given["rejected"]])) / share
    torch.testing.assert_close(noise[:2], noise[2:], rtol=1e-4, atol=1e-5)


def test_training_prefers_the_chosen():
    one, given = stage(seed=0), batch()
    optimizer = torch.optim.Adam(one.student.denoiser.parameters(), lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        sum(loss_of(one, given).values()).backward()
        optimizer.step()
    assert one.logged["preference/accuracy"] == 1
    assert one.logged["preference/margin"] > 0.1


def test_the_anchor_is_the_chosen_error():
    one = stage(anchor=0.25)
    losses = loss_of(one)
    assert losses["anchor"].item() == pytest.approx(0.25 * one.logged["preference/error_chosen"])


def test_wrong_input():
    with pytest.raises(ValueError, match=r"beta, anchor: 0 and 0\.1"):
        stage(beta=0)
    with pytest.raises(ValueError, match="data: batches have no chosen and rejected latents"):
        loss_of(stage(), {"lr": torch.zeros(1, 1, 3, 8, 8), "name": ["a"]})
