from itertools import islice

import pytest
import torch

from adc.data.sampler import PositionSampler
from adc.ops.random import generator_of


def take(count, **options):
    return list(islice(PositionSampler(**options), count))


def test_every_epoch_is_a_permutation_and_epochs_differ():
    drawn = take(33, length=11, seed=3)
    assert [position for position, _ in drawn] == list(range(33))
    epochs = [[index for _, index in drawn[start : start + 11]] for start in (0, 11, 22)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert take(33, length=11, seed=3) == drawn != take(33, length=11, seed=4)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batches_of_one(world):
    batch, steps = 2, 9
    joint = take(world * batch * steps, length=7)
    ranks = [take(batch * steps, length=7, rank=rank, world=world) for rank in range(world)]
    for step in range(steps):
        parts = [pair for rank in ranks for pair in rank[step * batch : (step + 1) * batch]]
        assert sorted(parts) == joint[step * world * batch : (step + 1) * world * batch]


@pytest.mark.parametrize("world", [1, 2])
def test_a_start_continues(world):
    for rank in range(world):
        randint = take(20, length=7, rank=rank, world=world)
        assert take(12, length=7, rank=rank, world=world, start=8 * world) == randint[8:]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        PositionSampler(0)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        PositionSampler(5, rank=2, world=2)


def test_generators_of_different_numbers_are_unrelated():
    first = [torch.rand((), generator=generator_of(0, sample, 0)).item() for sample in range(200)]
    assert len(set(first)) == 200 and sum(first) / 200 == pytest.approx(0.5, abs=0.08)
    assert torch.equal(torch.rand(3, generator=generator_of(1, 2)), torch.rand(3, generator=generator_of(1, 2)))
    assert not torch.equal(torch.rand(3, generator=generator_of(1, 2)), torch.rand(3, generator=generator_of(2, 1)))
