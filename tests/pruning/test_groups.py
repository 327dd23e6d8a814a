import pytest
import torch
from torch import nn

from adc.pruning.groups import Blocks, Group, Side, blocks, choose, kept_units


def group(size, *layers):
    return Group(size, [Side(layer, True, torch.arange(size)) for layer in layers])


def test_choose_keeps_the_best_in_order():
    scores = torch.tensor([0.1, 0.9, 0.5, 0.7])
    assert choose(scores, 2, Blocks()).tolist() == [False, True, False, True]


def test_choose_keeps_as_many_in_each_block():
    scores = torch.tensor([9.0, 8, 7, 6, 1, 2, 3, 4])
    assert choose(scores, 4, Blocks(2)).nonzero().flatten().tolist() == [0, 1, 6, 7]


def test_choose_keeps_whole_blocks():
    scores = torch.tensor([9.0, 0, 4, 6, 1, 2, 8, 8])
    assert choose(scores, 4, Blocks(4, whole=True)).nonzero().flatten().tolist() == [2, 3, 6, 7]


def test_equal_scores_keep_the_first():
    assert choose(torch.zeros(64), 3, Blocks()).nonzero().flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("size", "ratio", "kept"),
    [(320, 0.25, 240), (342, 0.25, 256), (10, 0.9, 1), (320, 0.3, 224), (3, 0.99, 1), (5, 0.5, 2), (100, 0.29, 71)],
)
def test_kept_units(size, ratio, kept):
    assert kept_units(group(size), ratio, {}) == kept


def test_heads_stay_and_shrink_alike():
    projection = nn.Linear(320, 320)
    attention = group(320, projection)
    assert kept_units(attention, 0.25, {projection: 5}) == 240
    assert kept_units(attention, 0.3, {projection: 5}) == 220
    assert kept_units(attention, 0.999, {projection: 5}) == 5
    assert blocks(attention, 240, {projection: 5}) == Blocks(5)


def test_heads_that_cannot_shrink_go_whole():
    projection = nn.Linear(1536, 1536)
    attention, heads, whole = group(1536, projection), {projection: 12}, {projection: 128}
    assert [kept_units(attention, ratio, heads, whole) for ratio in (0, 0.5, 0.51, 0.99)] == [1536, 768, 640, 128]
    assert blocks(attention, 768, heads, whole) == Blocks(12, whole=True)
    assert blocks(attention, 240, {projection: 5}) == Blocks(5)


@pytest.mark.parametrize(
    ("channels", "keep", "expected"),
    [(640, 480, Blocks(32)), (320, 240, Blocks(32, whole=True)), (320, 96, Blocks(32)), (64, 36, Blocks())],
)
def test_group_norm(channels, keep, expected):
    assert blocks(group(channels, nn.GroupNorm(32, channels)), keep, {}) == expected


def test_a_norm_over_a_concatenation_does_not_count():
    side = Side(nn.GroupNorm(32, 96), True, torch.cat([torch.full((32,), -1), torch.arange(64)]))
    assert blocks(Group(64, [side]), 32, {}) == Blocks()
