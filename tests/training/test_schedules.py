"""Schedules that are as long as their stage."""

import math
from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, PolynomialLR
from training import Adam, distillation, regression, train

from adc.training import Role
from adc.training.callbacks import StopAfter
from adc.training.schedules import WarmupCosine, WarmupLinear, updates_in_all


def rates_of(scheduler, optimizer, updates):
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_warmup_and_cosine():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    rates = rates_of(WarmupCosine(optimizer, total_steps=12, warmup=3, final=0.1), optimizer, 13)
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    cosine = [0.5 * (0.1 + 0.9 * (1 + math.cos(math.pi * n / 9)) / 2) for n in range(10)]
    assert rates[3:] == pytest.approx(cosine)
    assert rates[-1] == pytest.approx(0.05)
    optimizer.param_groups[0]["lr"] = 0.5
    rates = rates_of(WarmupLinear(optimizer, total_steps=6, warmup=1, final=0.2), optimizer, 7)
    assert rates[2:] == pytest.approx([0.5 * (0.2 + 0.8 * (1 - n / 5)) for n in range(1, 6)])
    for total, warmup in ((None, 0), (3, 3), (3, -1)):
        with pytest.raises(ValueError, match=r"total_steps: .* the total must be larger"):
            WarmupCosine(optimizer, total_steps=total, warmup=warmup)


@pytest.mark.parametrize("stated", [None, 12])
def test_a_schedule_ends_with_its_stage(stated):
    own = {} if stated is None else {"total_steps": stated}
    stage = regression(role=Role(Adam, partial(OneCycleLR, max_lr=1e-3, **own)))
    train(stage, 12)
    (scheduler,) = stage._schedulers.values()
    assert scheduler.total_steps == 12 == scheduler.last_epoch


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (partial(OneCycleLR, max_lr=1e-2, total_steps=6), r"OneCycleLR ends after 6 updates \(total_steps\).* leave"),
        (partial(WarmupLinear, total_steps=6), r"WarmupLinear ends after 6 updates \(total_steps\).*; leave"),
        (partial(PolynomialLR, power=2.0), r"PolynomialLR ends after 5 updates \(total_iters\).* give it 12"),
        (partial(CosineAnnealingLR, T_max=11), r"CosineAnnealingLR ends after 11 updates \(T_max\).* give it 12"),
    ],
)
def test_a_schedule_shorter_than_the_stage_is_refused_at_the_start(schedule, said):
    stage = regression(role=Role(Adam, schedule))
    with pytest.raises(ValueError, match=r"roles\.network\.scheduler: " + said):
        train(stage, 12)
    assert stage.updates == {"network": 0}


def test_schedules_that_are_over_with_the_warm_up_are_none():
    train(regression(role=Role(Adam, partial(LinearLR, total_iters=2))), 4)


def test_of_two_ends_the_first_one_counts():
    stage = regression(role=Role(Adam, partial(WarmupLinear, warmup=1)))
    train(stage, 9, callbacks=[StopAfter("network", 4)])
    assert stage.updates == {"network": 4} and stage._schedulers["network"].total_steps == 4


def test_a_warm_up_is_named_in_a_role():
    stage = regression(role=Role(Adam, partial(WarmupCosine, warmup=2)))
    train(stage, 6)
    assert next(iter(stage._schedulers.values())).total_steps == 6


def test_a_role_that_does_not_lead_has_its_share_of_the_updates():
    half = partial(WarmupCosine, warmup=1)
    roles = {"student": Role(Adam), "discriminators": Role(Adam, half)}
    stage = distillation(roles=roles, cycle=[["discriminators"], ["student"], ["student"]])
    train(stage, 7)
    assert updates_in_all(stage, "student") == 7 and updates_in_all(stage, "discriminators") == 4
    assert stage._schedulers["discriminators"].total_steps == 4


def test_a_rate_without_effect_is_told(recwarn):
    stage = regression(role=Role(Adam, partial(OneCycleLR, max_lr=2e-3)))
    train(stage, 2)
    assert any("lr: 0.001 is without effect; OneCycleLR goes up to max_lr 0.002" in str(w.message) for w in recwarn)


@pytest.mark.parametrize(
    ("cycle", "updates", "other"),
    [
        ([["student", "discriminators"]], 5, 5),
        ([["discriminators"], ["discriminators"], ["student"], ["student"]], 1, 2),
        ([["discriminators"], ["discriminators"], ["student"], ["student"]], 3, 4),
        ([["student"], ["discriminators"]], 3, 2),
    ],
)
def test_updates_are_counted_along_the_cycle(cycle, updates, other):
    stage = distillation(cycle=cycle)
    train(stage, updates)
    assert stage.updates == {"student": updates, "discriminators": other}
    assert updates_in_all(stage, "discriminators") == other
