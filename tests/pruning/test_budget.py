import copy
import json

import pytest
import torch
from adc_sd21 import AdcSRStudent
from adc_tiny import TinyStudent
from torch import nn

from adc.evaluation.prune import prune
from adc.evaluation.pruning_costs import Counted, Timed
from adc.interfaces import Prunable, Student
from adc.pruning import Magnitude, Taylor, load_student
from adc.pruning.allocation import UNIFORM, Curve, LayerCost, Range, Share, cuts, fit_curve
from adc.pruning.budget import TOLERANCE, find_ratios
from adc.pruning.target import read_target


class Halves(Student):
    """Two branches that are added; the channels of the first are worth little."""

    def __init__(self, width=32, weight=0.01):
        super().__init__()
        self.init_args = {"width": width, "weight": weight}
        torch.manual_seed(0)
        self.first, self.second = (
            nn.Sequential(nn.Conv2d(3, width, 1), nn.ReLU(), nn.Conv2d(width, 3, 1)) for _ in range(2)
        )
        with torch.no_grad():
            self.first[2].weight.mul_(weight)

    def encode(self, lr):
        return lr

    def decode(self, feature):
        image = feature.flatten(0, 1)
        return (self.first(image) + self.second(image)).unflatten(0, feature.shape[:2])

    def prunable(self):
        network = Sum(self.first, self.second)
        parts = {"first": self.first, "second": self.second}
        return Prunable(network, (torch.zeros(1, 3, 8, 8),), parts, ignored=[self.first[2], self.second[2]])


class Sum(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, image):
        return self.first(image) + self.second(image)


def clips(count=2, side=16):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, 1, 3, side, side, generator=generator) * 2 - 1 for _ in range(count)]


def photos(folder, count=2, side=24):
    from adc.media.images import to_bytes, write_image

    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        frame = torch.rand(3, side, side, generator=generator) * 2 - 1
        write_image(folder / f"{number}.png", to_bytes(frame))
    return folder


def kept_after(ranges, curves, layers, goal):
    """How much of each section stays when the layers cost no more than a goal."""
    kept = [one.size for one in ranges]

    def cost():
        return sum(layer.of([units / one.size for units, one in zip(kept, ranges, strict=True)]) for layer in layers)

    for cut in cuts(ranges, curves, layers):
        if (before := cost()) <= goal:
            break
        kept[cut.section] = cut.units
        assert before - cost() == pytest.approx(cut.saved)
    return [units / one.size for units, one in zip(kept, ranges, strict=True)]


def test_a_curve_is_found_again():
    ratios = (0.125, 0.25, 0.5, 0.75)
    curve = fit_curve(ratios, [3 * (ratio / (1 - ratio)) ** 1.7 for ratio in ratios])
    assert (curve.scale, curve.exponent) == (pytest.approx(3), pytest.approx(1.7))
    assert curve.steeper(2)(0.5) == pytest.approx(curve(0.5)) and curve.steeper(2)(0.1) < curve(0.1)
    assert fit_curve(ratios, [0.0] * 4)(0.9) == 0
    assert fit_curve((0.25, 0.5), (0.4, 0.41)).exponent == 1  # one that is lost at once stays convex


@pytest.mark.parametrize("factor", [1.0, 4.0, 100.0])
def test_errors_and_costs_are_balanced(factor):
    """Of ``a x^2 + b x^2`` with ``x = r / (1 - r)`` and equal costs, the least has equal slopes by the ratio."""
    layers = [LayerCost(1.0, outputs=(Share(0, 1.0),)), LayerCost(1.0, outputs=(Share(1, 1.0),))]
    ranges = [Range(4000, 1, 1)] * 2
    one, other = kept_after(ranges, [Curve(1.0, 2.0), Curve(factor, 2.0)], layers, 1.0)
    assert one + other == pytest.approx(1.0, abs=1e-3)
    slopes = [scale * 2 * (1 - kept) / kept**3 for scale, kept in ((1.0, one), (factor, other))]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.01)


def test_a_section_that_costs_more_is_cut_more_and_a_free_one_never():
    layers = [LayerCost(3.0, outputs=(Share(0, 1.0),)), LayerCost(1.0, outputs=(Share(1, 1.0),))]
    one, other, free = kept_after([Range(1000, 1, 1)] * 3, [Curve(1.0, 2.0)] * 3, layers, 2.0)
    assert one < other < 1 and free == 1


def test_layers_between_two_sections_cost_their_product():
    layer = LayerCost(10.0, inputs=(Share(0, 0.5), Share(1, 0.25)), outputs=(Share(1, 1.0),))
    assert layer.of([0.5, 0.2]) == pytest.approx(10 * (1 - 0.25 - 0.2) * 0.2)


def test_uniform_keeps_equal_shares():
    layers = [LayerCost(float(number + 1), outputs=(Share(number, 1.0),)) for number in range(3)]
    shares = kept_after([Range(200, 1, 25), Range(100, 1, 12), Range(64, 8, 8)], [UNIFORM] * 3, layers, 2.4)
    assert max(shares) - min(shares) <= 8 / 64


def test_the_harmless_branch_is_cut():
    student = Halves()
    found = find_ratios(student, read_target({"macs": "60%"}), Magnitude(), (), clips(), Counted("macs", 16))
    assert [one.section.name for one in found.sensitivities] == ["first.0", "second.0"]
    harmless, precious = (one.errors[-1] for one in found.sensitivities)
    assert harmless < 0.01 * precious
    assert found.ratios["first.0"] > 0.6 > 0.2 > found.ratios.get("second.0", 0.0)
    assert abs(found.reached / found.goal - 1) <= TOLERANCE
    assert found.errors[found.chosen] < 0.5 * found.errors["uniform"]
    assert found.costs[0][-1] / found.full == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        ({"macs": "25%"}, 250.0),
        ({"macs": 300}, 300.0),
        ({"parameters": "0.5k"}, 500.0),
        ({"latency": "20ms"}, 0.02),
        ({"latency": 0.5}, 0.5),
        ({"macs": "1e2"}, 100.0),
    ],
)
def test_targets(given, cost):
    assert read_target(given).of(1000.0) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mac": "25%"}, "there is no 'mac'; did you mean macs"),
        ({"macs": "25%", "latency": "25%"}, "give one of macs, parameters, latency"),
        ({}, "give one of macs"),
        ({"macs": "a quarter"}, "macs is 'a quarter'; expected what is left, as in 25%"),
        ({"macs": "-3"}, "expected what is left"),
        ({"macs": 0}, "expected what is left"),
        ({"macs": "3ms"}, "expected what is left"),
        ({"latency": "4G"}, "40ms"),
    ],
)
def test_wrong_targets(given, message):
    with pytest.raises(ValueError, match=message):
        read_target(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratios": {"body": 0.5}, "target": {"macs": "50%"}}, "both are given"),
        ({}, "what is cut is not given; give ratios, or a target"),
        ({"target": {"macs": "50%"}}, "need clips; give `data`, or a folder"),
        (
            {"target": {"macs": "0.1%"}, "calibration": "photos"},
            r"macs is 0.1%; .* to between .*% .* and 100.0%",
        ),
        ({"target": {"macs": "150%"}, "calibration": "photos"}, r"macs is 150%; this student can be cut to"),
        ({"target": {"macs": "25"}, "calibration": "photos"}, r"macs is 25; this student can be cut to"),
        ({"target": {"macs": "50%"}, "calibration": "nowhere"}, "nowhere"),
        ({"ratios": {"body.9": 0.5}}, r"no part 'body.9'; did you mean body\.[02]"),
        ({"ratios": {"decoder.conv_out": 0.5}}, r"decoder.conv_out keeps its channels; leave it out"),
    ],
)
def test_what_cannot_be_done_is_one_line(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        prune(TinyStudent(), folder=tmp_path / "made", size=16, **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "made").exists()


def test_the_ratios_found_make_the_same_student(tmp_path):
    folder = str(photos(tmp_path / "photos"))
    full = TinyStudent(width=64, channels=32)
    options = {"calibration": folder, "size": 16}
    made = prune(copy.deepcopy(full), None, Taylor(2), tmp_path / "a", target={"macs": "40%"}, **options)
    before, after = made["parts"]["student"]["macs"]
    assert abs(after / before / 0.4 - 1) <= TOLERANCE
    prune(full, made["ratios"], Taylor(2), tmp_path / "b", **options)
    one, other = (load_student(str(tmp_path / name)).state_dict() for name in "ab")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    noted = json.loads((tmp_path / "a/pruning.json").read_text())
    assert noted["ratios"] == made["ratios"] and noted["target"]["macs"] == "40%"
    table = json.loads((tmp_path / "a/sensitivities.json").read_text())
    assert table["calibration"] == [f"{folder}/0.png", f"{folder}/1.png"]
    assert [row["channels"][0] for row in table["sensitivities"]] == [64, 64, 32, 32]
    assert not (tmp_path / "b/sensitivities.json").exists()


def test_parameters(tmp_path):
    folder = str(photos(tmp_path / "photos"))
    student = TinyStudent(width=64, channels=32)
    made = prune(student, importance=Taylor(1), target={"parameters": "30k"}, calibration=folder, size=16)
    assert made["parts"]["student"]["parameters"][1] == pytest.approx(30_000, rel=TOLERANCE)


def test_seconds_follow_the_work():
    wide, narrow = TinyStudent(width=96, channels=64), TinyStudent(width=8, channels=8)
    timed = Timed(wide, 48)
    assert timed.total(narrow) < 0.8 * timed.total(wide)
    layers = timed.layers(wide)
    assert layers[wide.body[2]] > layers[wide.body[1]] and sum(layers.values()) < 2 * timed.full


@pytest.mark.slow
def test_the_demo_student_meets_its_target():
    student = AdcSRStudent("demo")
    cost = Counted("macs", 32)
    found = find_ratios(student, read_target({"macs": "25%"}), Magnitude(), (), clips(1, 16), cost)
    assert abs(found.reached / (0.25 * cost.total(student)) - 1) <= TOLERANCE
    assert found.errors[found.chosen] <= found.errors["uniform"]
    names = {one.section.names for one in found.sensitivities}
    assert ("decoder.mid_block.resnets.0.conv1", "mid_block.resnets.0.conv1") in names  # they begin as copies
