"""Rectified flow, samplers and what is trained on them, in closed form."""

import math

import pytest
import torch
from torch import tensor

from adc.ops import dmd, flow, gan, preference, targets
from adc.ops.random import ClipRandom
from adc.ops.sampling import draw_noise, euler


def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2, 4, generator=generator), torch.randn(3, 2, 4, generator=generator)


def test_path_and_its_inverses():
    clean, noise = pair()
    t = tensor([0.25, 0.5, 1.0])
    z_t, velocity = flow.add_noise(clean, noise, t), flow.velocity_of(clean, noise)
    torch.testing.assert_close(z_t[0], 0.75 * clean[0] + 0.25 * noise[0])
    torch.testing.assert_close(z_t[2], noise[2])
    torch.testing.assert_close(flow.clean_from_velocity(z_t, velocity, t), clean)
    torch.testing.assert_close(flow.velocity_from_clean(z_t, clean, t), velocity)
    torch.testing.assert_close(
        flow.euler_step(z_t, velocity, t, t / 2), flow.add_noise(clean, noise, t / 2), atol=1e-6, rtol=0
    )


def test_shifted_grid():
    torch.testing.assert_close(flow.time_grid(4), tensor([0, 0.25, 0.5, 0.75, 1]))
    torch.testing.assert_close(flow.time_grid(2, 5.0), tensor([0, 5 / 6, 1]))
    with pytest.raises(ValueError, match="steps: 0; at least 1"):
        flow.time_grid(0)


def test_laws_of_time():
    uniform = flow.TimeLaw().draw(ClipRandom(20000))
    assert uniform.dtype == torch.float32
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(uniform.var() - 1 / 12) < 0.003
    shifted = flow.TimeLaw(shift=5.0).draw(ClipRandom(20000))
    assert abs((shifted < 5 / 6).float().mean() - 0.5) < 0.02  # a half goes to 5 / 6
    normal = flow.TimeLaw("logit_normal").draw(ClipRandom(20000))
    assert abs((normal < 1 / (1 + math.exp(1.0))).float().mean() - 0.1587) < 0.01  # a deviation below
    clamped = flow.TimeLaw(low=0.02, high=0.98).draw(ClipRandom(20000))
    assert (clamped.min(), clamped.max()) == (tensor(0.02), tensor(0.98))
    for wrong in ({"shift": 0.0}, {"low": 0.6, "high": 0.5}, {"high": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            flow.TimeLaw(**wrong)


def test_euler_follows_the_field():
    noise = tensor([[2.0], [4.0]])
    steps = []

    def velocity(z, t):
        steps.append(t.tolist())
        return z

    end = euler(velocity, noise, flow.time_grid(4))
    torch.testing.assert_close(end, noise * 0.75**4)
    assert steps == [[1.0, 1.0], [0.75, 0.75], [0.5, 0.5], [0.25, 0.25]]


def test_noise_of_no_generator_is_one_noise():
    like = torch.zeros(3, 2, 4)
    one = draw_noise(like)
    assert torch.equal(one[0], one[2])
    assert torch.equal(one, draw_noise(like))
    drawn = [draw_noise(like, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_guidance_of_scale_one_is_the_conditional_velocity():
    conditional, null = pair()
    assert torch.equal(targets.guided_velocity(conditional, null, 1.0), conditional)
    torch.testing.assert_close(targets.guided_velocity(conditional, null, 3.0), 3 * conditional - 2 * null)


def test_two_steps_in_one():
    """For v = z the two steps multiply by (1 - d / 2)^2, so the one velocity is z (1 - (1 - d / 2)^2) / d."""
    z_t, _ = pair()
    t, middle, end = (torch.full((3,), time) for time in (0.75, 0.5, 0.25))
    target = targets.halving_target(lambda z, time: z, z_t, t, middle, end)
    factor = (1 - (1 - 0.25 / 1) ** 2) / 0.5
    torch.testing.assert_close(target, factor * z_t)
    error = targets.halving_loss(target + 2, target, t, end, "velocity")
    torch.testing.assert_close(error, torch.full((3,), 4.0))
    torch.testing.assert_close(targets.halving_loss(target + 2, target, t, end, "state"), torch.full((3,), 1.0))


def test_dmd_moves_a_sample_to_where_data_are():
    """Scores of two normal distributions: the fake one is where the samples are, the real one three to the right."""
    torch.manual_seed(0)
    sample = torch.randn(64, 500).requires_grad_()
    t = torch.full((64,), 0.5)
    z_t = flow.add_noise(sample.detach(), torch.randn(64, 500), t)

    def clean(mean):  # E[z_0 | z_t] of N(mean, 1) at t = 1/2
        return mean + (z_t - 0.5 * mean)

    direction = dmd.dmd_direction(sample, clean(3.0), clean(0.0))
    assert (direction < 0).all()
    (gradient,) = torch.autograd.grad(dmd.dmd_loss(sample, direction), sample)
    torch.testing.assert_close(gradient, direction / sample.numel())
    assert torch.equal(dmd.dmd_direction(sample, clean(1.0), clean(1.0)), torch.zeros_like(sample))
    assert torch.isfinite(dmd.dmd_direction(sample, sample, sample + 1)).all()


def test_direction_by_hand():
    """Mean distances 1.5 and 2: (3, 0) / 1.5 and (-1, 4) / 2; the loss is half the mean of 4, 0, 1/4 and 4."""
    sample, real, fake = tensor([[1.0, 3], [0, 0]]), tensor([[0.0, 1], [2, 2]]), tensor([[3.0, 1], [1, 6]])
    direction = dmd.dmd_direction(sample, real, fake)
    torch.testing.assert_close(direction, tensor([[2.0, 0], [-0.5, 2]]), atol=1e-5, rtol=0)
    assert dmd.dmd_loss(sample, direction).item() == pytest.approx(0.5 * 8.25 / 4, rel=1e-5)
    assert dmd.dmd_direction(sample.bfloat16(), real.bfloat16(), fake.bfloat16()).dtype == torch.float32


def test_preferences_at_the_reference_cost_log_two():
    error = torch.rand(4)
    margin = preference.preference_margin(error, 2 * error, error, 2 * error, 5000)
    assert preference.dpo_loss(margin).item() == pytest.approx(math.log(2))
    better = preference.preference_margin(error - 0.1, 2 * error, error, 2 * error, 10.0)
    torch.testing.assert_close(better, torch.full((4,), 0.5))
    assert preference.dpo_loss(better).item() == pytest.approx(math.log(1 + math.exp(-0.5)))


def test_feature_matching_stops_at_the_truth():
    fake, real = (tensor([[1.0, 2.0]], requires_grad=True), tensor([[4.0, 2.0]], requires_grad=True))
    (squares,), (absolute,) = (gan.feature_matching([fake], [real], norm) for norm in ("l2", "l1"))
    assert (squares.item(), absolute.item()) == (4.5, 1.5)
    squares.backward()
    assert fake.grad.tolist() == [[-3.0, 0.0]]
    assert real.grad is None
    (scaled,) = gan.feature_matching([fake], [real], normalize=True)
    assert scaled.item() == pytest.approx(4.5 / 2)  # the deviation of 4 and 2 is the root of two
    with pytest.raises(ValueError, match=r"shorter|longer"):
        gan.feature_matching([fake, fake], [real])


def test_approximate_r1_of_a_linear_discriminator():
    """For D(x) = w x the penalty is w^2 for each normal number."""
    torch.manual_seed(0)
    x, noise = torch.randn(200000), torch.randn(200000)
    assert gan.approximate_r1(3 * x, 3 * (x + 0.01 * noise), 0.01).item() == pytest.approx(9.0, rel=0.02)


def test_randomness_of_a_clip_is_the_same_in_any_number_of_processes():
    like = torch.zeros(6, 2, 3)
    whole = ClipRandom(6, 7, 1)
    shares = [ClipRandom(3, 7, 1, rank=rank, world=2) for rank in (0, 1)]
    for draw in (lambda one: one.normal(like), lambda one: one.uniform(), lambda one: one.integer(1, 4)):
        joint, parts = draw(whole), [draw(one) for one in shares]
        assert all(torch.equal(joint[rank::2], part) for rank, part in enumerate(parts))
    assert not torch.equal(ClipRandom(6, 7, 1).normal(like), ClipRandom(6, 7, 2).normal(like))
    drawn = ClipRandom(9000, 0).integer(2, 4)
    assert [round((drawn == number).float().mean().item(), 1) for number in (1, 2, 3, 4, 5)] == [0, 0.3, 0.3, 0.3, 0]
