import dataclasses
import math
from itertools import pairwise

import pytest
import torch

from adc.degradation import VIDEO_PRESETS
from adc.degradation.kernels import KINDS, gaussian, lowest_cutoff, plateau, sinc
from adc.degradation.walks import walk, walk_blur, walk_sinc, walk_whole

DRIFTING, STEADY = VIDEO_PRESETS["realbasicvsr"], VIDEO_PRESETS["dove"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def only(kind, values=DRIFTING):
    return dataclasses.replace(values, kernel_probabilities=tuple(float(kind == other) for other in KINDS))


@pytest.mark.parametrize(("limits", "step"), [((0.2, 3.0), 0.02), ((0.0, 1.0), 0.9), ((5.0, 5.0), 1.0)])
def test_steps_and_limits(limits, step):
    numbers = torch.tensor(walk(seeded(), limits, step, 500), dtype=torch.float64)
    assert len(numbers) == 500 and numbers.min() >= limits[0] and numbers.max() <= limits[1]
    assert numbers.diff().abs().max() <= step


def test_steps_are_uniform():
    steps = torch.tensor(walk(seeded(), (-1e9, 1e9), 3.0, 20_001, start=0.0), dtype=torch.float64).diff()
    assert steps.mean().abs() < 4 * math.sqrt(3 / 20_000)
    assert steps.var().item() == pytest.approx(3.0, rel=0.04)
    assert steps.abs().max() > 2.99


def test_the_first_is_uniform_or_given():
    firsts = torch.tensor([walk(seeded(seed), (2.0, 6.0), 1.0, 1)[0] for seed in range(2000)])
    assert firsts.mean().item() == pytest.approx(4.0, abs=0.1) and firsts.min() < 2.05 and firsts.max() > 5.95
    assert walk(seeded(), (2.0, 6.0), 1.0, 1, start=3.5) == [3.5]


def test_without_a_step_nothing_is_drawn():
    generator = seeded()
    assert walk(generator, (0.0, 1.0), 0.0, 5, start=0.25) == [0.25] * 5
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_whole_numbers_walk_by_whole_steps():
    numbers = walk_whole(seeded(), (30, 95), 3.0, 2000)
    steps = torch.tensor(numbers, dtype=torch.float64).diff()
    assert all(isinstance(number, int) for number in numbers) and min(numbers) >= 30 and max(numbers) <= 95
    assert set(steps.int().tolist()) == {-3, -2, -1, 0, 1, 2, 3}
    assert (steps == 3).double().mean().item() == pytest.approx(1 / 12, abs=0.03)
    assert (steps == 1).double().mean().item() == pytest.approx(1 / 6, abs=0.04)
    assert len(set(walk_whole(seeded(), (30, 95), 0, 9))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_every_kind_drift(kind):
    kernels = walk_blur(seeded(3), 4, only(kind), 0.0, (0.9, 1.5))
    assert len({tuple(kernel.shape) for kernel in kernels}) == 1
    for kernel, after in pairwise(kernels):
        assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
        assert 0 < (kernel - after).abs().max() < 0.05
    still = walk_blur(seeded(3), 4, only(kind, STEADY), 0.0, (0.9, 1.5))
    assert all(torch.equal(still[0], kernel) for kernel in still)


def test_each_kind_is_its_formula():
    pinned = dataclasses.replace(STEADY, kernel_sizes=(9, 9), beta_gaussian=(1.0, 1.0), beta_plateau=(1.0, 1.0))
    for kind in KINDS[::2]:
        formula = plateau if kind.startswith("plateau") else gaussian
        kernel = walk_blur(seeded(), 1, only(kind, pinned), 0.0, (1.3, 1.3))[0]
        torch.testing.assert_close(kernel, formula(9, 1.3, 1.3))


def test_kinds_come_as_often_as_they_should(monkeypatch):
    import adc.degradation.walks as walks

    seen = []
    monkeypatch.setattr(walks, "of_kind", lambda kind, *rest: seen.append(kind) or torch.zeros(1))
    monkeypatch.setattr(walks, "sinc", lambda *rest: seen.append("sinc") or torch.zeros(1))
    generator = seeded()
    for _ in range(3000):
        walk_blur(generator, 1, DRIFTING, DRIFTING.sinc_probability, (0.2, 3.0))
    for kind, share in zip((*KINDS, "sinc"), (0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.1), strict=True):
        assert seen.count(kind) / 3000 == pytest.approx(share, abs=0.03)


def test_sinc_filters_stay_above_the_lowest_cutoff():
    assert lowest_cutoff(11) == math.pi / 3 and lowest_cutoff(13) == math.pi / 5
    pinned = walk_sinc(seeded(), 3, 9, math.pi, 0.5)
    assert all(torch.equal(kernel, sinc(9, math.pi)) for kernel in pinned)
    assert not torch.equal(*walk_sinc(seeded(), 2, 9, math.pi / 3, 0.0628))
