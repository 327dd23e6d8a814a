"""Every clause of `check_metric`, broken on purpose; and adc's own metrics, which keep them."""

import pytest
import torch
from adc_tiny import TinyScorer

from adc import testing
from adc.interfaces import FileMetric, Metric, SetMetric
from adc.metrics.fidelity import Fidelity
from adc.metrics.registry import build, metrics


class Error(Metric):
    """Mean absolute difference."""

    def __call__(self, restored, reference):
        return (restored - reference).abs().flatten(1).mean(dim=1)


class Motion(Metric):
    """Mean absolute difference of neighbours."""

    frames, needs_reference = 2, False

    def __call__(self, restored, reference=None):
        if restored.shape[1] < 2:
            raise ValueError("two frames at least.")
        return restored.diff(dim=1).abs().flatten(1).mean(dim=1)


class Means(SetMetric):
    """Distance of mean colors."""

    def features(self, clip):
        return clip.flatten(0, 1).mean(dim=(-2, -1))

    def distance(self, restored, reference):
        return (restored.mean(dim=0) - reference.mean(dim=0)).norm().item()


class Length(FileMetric):
    """Size of the file."""

    def rate_file(self, video):
        return float(video.stat().st_size)


def broken(base, **attributes):
    return type("Broken", (base,), attributes)()


def test_what_keeps_the_contract(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    for metric in (Error(), Motion(), Means(), TinyScorer()):
        testing.check_metric(metric)
    testing.check_metric(Length(), video=tmp_path / "clip.mp4")


def test_those_of_adc_keep_it():
    names = [name for name, kind in metrics().items() if issubclass(kind, Fidelity)]
    built, _ = build([*names, "flicker", "unsteadiness", "sharpness", "sharpness_ratio", "ewarp_dis"])
    assert len(built) >= 10
    for metric in built.values():
        testing.check_metric(metric)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "two words", "must be one word"),
        ("title", None, "must be a text"),
        ("options", 3, "must be a text"),
        ("higher_is_better", 1, "must be true or false"),
        ("needs_reference", None, "must be true or false"),
        ("decimals", -1, "must be a number, 0 or more"),
        ("frames", 0, "must be a number, 1 or more"),
        ("weights", ("a.pth",), "must be a tuple of WeightFile"),
        ("packages", "pyiqa", "must be a tuple of names"),
        ("companions", [1], "must be a tuple of names"),
    ],
)
def test_attributes(key, value, message):
    with pytest.raises(AssertionError, match=rf"Broken\.{key}: {message}"):
        testing.check_metric(broken(Error, **{key: value}))


def test_an_attribute_of_the_object():
    metric = Error()
    metric.decimals = 7
    with pytest.raises(AssertionError, match=r"Error\.decimals: must be an attribute of the class"):
        testing.check_metric(metric)


def drifting(self, restored, reference):
    self.calls = getattr(self, "calls", 0) + 1
    return Error()(restored, reference) + self.calls


def changing(self, restored, reference):
    value = Error()(restored, reference)
    reference.add_(1)
    return value


CALLS = {
    "map": (Error, lambda s, a, b: (a - b).abs(), r"shape must be \(2,\)"),
    "not finite": (Error, lambda s, a, b: Error()(a, b) / 0, "must be finite"),
    "a state": (Error, drifting, "the same input must give the same result"),
    "a changed reference": (Error, changing, "must leave the reference unchanged"),
    "the batch": (Error, lambda s, a, b: Error()(a, b) - Error()(a, b).mean(), "must not depend on the other clips"),
    "no use of the reference": (Error, lambda s, a, b: a.flatten(1).mean(dim=1), "another reference must change"),
    "use of the reference": (Motion, lambda s, a, b: Motion()(a) + Error()(a, b), "no reference may change it"),
    "a sum": (Error, lambda s, a, b: a.shape[1] * Error()(a, b), "of more than 1 frames it must be the mean"),
    "too short": (Motion, lambda s, a, b: a.diff(dim=1).abs().flatten(1).sum(dim=1) / (a.shape[1] - 1 or 1) / 12288,
                  "must refuse clips of fewer than 2 frames"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_calls(case):
    base, call, message = CALLS[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_metric(broken(base, __call__=call))


SETS = {
    "one feature": ({"features": lambda s, c: Means().features(c).mean(dim=1)}, r"features: the result's shape"),
    "a tensor": ({"distance": lambda s, a, b: torch.zeros(())}, "must return a finite float"),
    "upside down": ({"distance": lambda s, a, b: -Means().distance(a, b)}, "equal sets must be no worse"),
    "no memory": ({"truncate": lambda s, count: None}, "count: must be how many"),
    "a random distance": ({"distance": lambda s, a, b: torch.rand(()).item()}, "must give the same value twice"),
}


@pytest.mark.parametrize("case", SETS)
def test_sets(case):
    attributes, message = SETS[case]
    metric = type("Broken", (Means,), attributes)()
    metric.add(torch.zeros(1, 1, 3, 8, 8), torch.ones(1, 1, 3, 8, 8))
    with pytest.raises(AssertionError, match=message):
        testing.check_metric(metric)


def test_a_set_that_is_not_forgotten():
    def truncate(self, count):
        SetMetric.truncate(self, count if count == 0 else count + 1)

    with pytest.raises(AssertionError, match="truncate: must forget what was added later"):
        testing.check_metric(broken(Means, truncate=truncate))


def test_files(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    with pytest.raises(AssertionError, match="rate_file: must return a finite float; got nan"):
        testing.check_metric(broken(Length, rate_file=lambda s, video: float("nan")), video=tmp_path / "clip.mp4")
    with pytest.raises(TypeError, match="Length rates video files; call rate_file"):
        Length()(torch.zeros(1, 1, 3, 8, 8), torch.zeros(1, 1, 3, 8, 8))


def test_no_metric_at_all():
    with pytest.raises(AssertionError, match=r"Linear: must be a subclass of adc\.interfaces\.Metric"):
        testing.check_metric(torch.nn.Linear(1, 1))
