"""The ratio of channels that leaves a share of the cost."""

from dataclasses import dataclass

import pytest
import torch
from adc_spandrel import SpandrelStudent

from adc.errors import UsageError
from adc.projects.target import ABOVE, BELOW, HIGHEST, TRIALS, cost, cut_to, find_ratio, share_of


@dataclass
class Stub:
    """What is left after a cut."""

    ratio: float
    share: float


def search(left, share):
    """The result of a search, and the ratios that it tried."""
    tried = []

    def cut(ratio):
        tried.append(ratio)
        return Stub(ratio, left(ratio))

    return find_ratio(cut, share), tried


def test_the_first_guess_is_right_where_costs_go_with_the_square_of_the_width():
    found, tried = search(lambda ratio: (1 - ratio) ** 2, 0.25)
    assert tried == [0.5] and found.share == pytest.approx(0.25)


@pytest.mark.parametrize("share", [0.15, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("fixed", [0.0, 0.05])
def test_the_search_ends_near_the_target(share, fixed):
    found, tried = search(lambda ratio: fixed + (1 - fixed) * (1 - ratio), share)
    assert BELOW * share <= found.share <= ABOVE * share and len(tried) <= TRIALS


def test_a_target_below_what_stays_whole_is_not_met():
    found, tried = search(lambda ratio: 0.4 + 0.6 * (1 - ratio), 0.25)
    assert found.ratio == HIGHEST and found.share > 0.25 and len(tried) <= TRIALS + 1
    assert search(lambda ratio: 0.5, 0.001)[1] == [HIGHEST]


def test_a_network_is_cut_to_a_share_of_its_cost():
    torch.manual_seed(0)
    network = SpandrelStudent(architecture="Compact", arguments={"num_feat": 32, "num_conv": 3})
    cut = cut_to(network, 0.3)
    assert 0.27 <= cut.share <= 0.31
    assert cut.before.macs == cost(network).macs and cost(cut.student).macs == cut.after.macs
    assert cut.after.parameters == sum(parameter.numel() for parameter in cut.student.parameters())


def test_a_network_that_keeps_its_last_layer_is_refused_with_the_way_out():
    network = SpandrelStudent(architecture="Compact", arguments={"num_feat": 8, "num_conv": 0})
    with pytest.raises(UsageError, match=r"macs=2%: cannot be met; with 90% .* ask for macs=\d+% or more\.$"):
        cut_to(network, 0.02)


@pytest.mark.parametrize("target", ["25%", "macs=25", "macs=0%", "macs=100%", "parameters=20%", "macs=a%", ""])
def test_a_target_that_says_nothing_is_refused(target):
    with pytest.raises(UsageError, match=r"^--target .*such as macs=25%\.$"):
        share_of(target)


def test_a_target_is_a_share():
    assert share_of("macs=12.5%") == 0.125
