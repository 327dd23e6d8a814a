"""Attention heads under names of a network's own."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adc.interfaces import Prunable, Student
from adc.pruning import Magnitude, prune

HEADS, WIDTH = 4, 8


class Attention(nn.Module):
    """Self-attention of pixels, with projections in names that are nobody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.asks, self.holds, self.gives = (nn.Linear(16, HEADS * WIDTH) for _ in range(3))
        self.mixes = nn.Linear(HEADS * WIDTH, 16)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        split = [
            layer(tokens).unflatten(2, (HEADS, -1)).transpose(1, 2) for layer in (self.asks, self.holds, self.gives)
        ]
        found = F.scaled_dot_product_attention(*split, scale=WIDTH**-0.5).transpose(1, 2).flatten(2)
        return x + self.mixes(found).transpose(1, 2).unflatten(2, x.shape[2:])


class Attending(Student):
    """A student that is one attention between two convolutions."""

    scale = 2

    def __init__(self, named: bool = True) -> None:
        super().__init__()
        self.named = named
        self.first, self.attention = nn.Conv2d(3, 16, 3, padding=1), Attention()
        self.last = nn.Sequential(nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))

    def encode(self, lr: Tensor) -> Tensor:
        return self.attention(self.first(lr[:, 0]))[:, None]

    def decode(self, feature: Tensor) -> Tensor:
        return self.last(feature[:, 0])[:, None]

    def prunable(self) -> Prunable:
        network = nn.Sequential(self.first, self.attention, self.last)
        layers = (self.attention.asks, self.attention.holds, self.attention.gives)
        return Prunable(
            network,
            (torch.randn(1, 3, 8, 8),),
            {"heads": nn.ModuleList(layers)},
            ignored=[self.last[0]],
            heads=dict.fromkeys(layers, HEADS) if self.named else {},
        )


def idle(student: Attending) -> None:
    """Make half of each head idle: not the same half, and the same for queries and keys."""
    attention = student.attention
    with torch.no_grad():
        for head in range(HEADS):
            unused = [head * WIDTH + (head + place) % WIDTH for place in range(WIDTH // 2)]
            for layer in (attention.asks, attention.holds, attention.gives):
                layer.weight[unused] = 0
                layer.bias[unused] = 0
            attention.mixes.weight[:, unused] = 0


def test_heads_of_other_names_are_narrowed_alike():
    torch.manual_seed(0)
    student = Attending()
    idle(student)
    lr = torch.randn(1, 1, 3, 8, 8)
    with torch.no_grad():
        before = student.restore(lr)
        prune(student, {"heads": 0.5}, Magnitude())
        assert student.attention.asks.out_features == HEADS * WIDTH // 2
        torch.testing.assert_close(student.restore(lr), before, atol=1e-6, rtol=1e-5)


def test_heads_that_nobody_named_are_not_cut_across():
    student = Attending(named=False)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    with pytest.raises(ValueError, match=r"1: attention with 4 heads, whose projections are not known; name them in"):
        prune(student, {"heads": 0.5}, Magnitude())
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())


def test_a_number_of_heads_that_does_not_divide_is_refused():
    student = Attending()
    plan = student.prunable()
    plan.heads[student.attention.asks] = 5
    student.prunable = lambda: plan
    with pytest.raises(ValueError, match=r"heads of prunable\(\): 1\.asks has 32 output channels, which 5 heads"):
        prune(student, {"heads": 0.5}, Magnitude())
