import copy
import json

import pytest
import torch
from adc_sd21 import AdcSRStudent
from mirror import SMALL
from torch import nn

from adc.pruning import Magnitude, prune
from adc.pruning.structure import fit, record, replay


def full():
    torch.manual_seed(2)
    return AdcSRStudent(**SMALL)


def test_replay_gives_equal_outputs():
    student = full()
    prune(student, {"unet": 0.25, "decoder": 0.5}, Magnitude())
    with torch.device("meta"):
        structure = json.loads(json.dumps(record(student, AdcSRStudent(**SMALL))))
    again = replay(full(), structure)
    again.load_state_dict(student.state_dict())
    clip = torch.randn(1, 2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(clip), student(clip))
        latent = torch.randn(1, 1, 4, 8, 8)
        assert torch.equal(again.decode_latents(latent), student.decode_latents(latent))
    for (name, one), other in zip(again.named_modules(), student.modules(), strict=True):
        numbers = [{k: v for k, v in vars(m).items() if isinstance(v, int | float | tuple)} for m in (one, other)]
        assert numbers[0] == numbers[1], name


def test_only_what_differs_is_recorded():
    student = full()
    structure = record(student, full())
    assert structure["attributes"] == {}
    assert structure["tensors"]["unet.conv_in.bias"] == [32]
    prune(student, {"unet": 0.5}, Magnitude())
    assert record(student, full())["attributes"]["unet.conv_in"] == {"out_channels": 16}


def test_replay_keeps_what_is_frozen():
    student = full()
    prune(student, {"unet": 0.5}, Magnitude())
    structure = record(student, full())
    again = replay(full().requires_grad_(False), structure)
    assert not any(p.requires_grad for p in again.parameters())


NETWORK = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
STRUCTURE = record(NETWORK, NETWORK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["tensors"].pop("0.bias"), "0.bias is in only one of them"),
        (lambda s: s["tensors"].update({"2.bias": [3]}), "2.bias is in only one of them"),
        (lambda s: s["tensors"].update({"0.bias": [5]}), r"0.bias is \[4\] and would be \[5\]"),
        (lambda s: s["tensors"].update({"0.bias": [2, 2]}), r"0.bias is \[4\] and would be \[2, 2\]"),
        (lambda s: s["attributes"].update({"7": {"a": 1}}), "has no module 7"),
        (lambda s: s["attributes"].update({"0": {"chanels": 1}}), "0 has no attribute 'chanels'"),
        (lambda s: s.pop("attributes"), "holds `tensors` and `attributes`"),
    ],
)
def test_what_does_not_fit(change, message):
    structure = copy.deepcopy(STRUCTURE)
    change(structure)
    network = copy.deepcopy(NETWORK)
    with pytest.raises(ValueError, match=message):
        replay(network, structure)
    assert record(network, NETWORK) == STRUCTURE


def test_record_needs_the_same_network():
    with pytest.raises(ValueError, match=r"built of other modules: 2"):
        record(nn.Sequential(*NETWORK, nn.ReLU()), NETWORK)


class Attention(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.heads, self.inner_dim, self.scale, self.scale_qk = 2, 16, scale, True
        self.to_q, self.to_k, self.to_v = (nn.Linear(16, 8) for _ in range(3))


@pytest.mark.parametrize(("before", "after"), [(8**-0.5, 0.5), (1.0, 1.0)])
def test_the_scale_of_attention_follows_if_it_is_the_usual_one(before, after):
    attention = Attention(before)
    fit(attention)
    assert (attention.inner_dim, attention.heads, attention.scale_qk) == (8, 2, True)
    assert attention.scale == pytest.approx(after)
