"""Attention of heads that are no whole vectors: the same sum, of padded ones, on a CPU alone."""

import pytest
import torch
import torch.nn.functional as F
from adc_tiny import TinyStudent
from torch.overrides import TorchFunctionMode

from adc.inference.attention import PaddedHeads
from adc.inference.prepare import prepare


class Widths(TorchFunctionMode):
    """Notes how wide the heads are that attention computes with."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.seen.append((args[0].shape[-1], (kwargs or {}).get("scale")))
        return func(*args, **(kwargs or {}))


def attention(query, key, value, scale=None, mask=None):
    weights = (query @ key.transpose(-1, -2)) * (query.shape[-1] ** -0.5 if scale is None else scale)
    weights = weights if mask is None else weights.masked_fill(~mask, float("-inf"))
    return weights.softmax(-1) @ value


@pytest.mark.parametrize("width", [1, 10, 14, 16, 65])
@pytest.mark.parametrize("options", [{}, {"scale": 0.7}, {"scale": None}, {"masked": True}, {"masked": "in place"}])
def test_it_is_the_same_sum(width, options):
    draw = torch.Generator().manual_seed(width)
    query, key, value = (torch.randn(2, 3, 20, width, generator=draw) for _ in range(3))
    mask = torch.rand(20, 20, generator=draw) > 0.3
    mask.fill_diagonal_(True)
    masked, rest = options.get("masked"), {k: v for k, v in options.items() if k != "masked"}
    with (widths := Widths()), PaddedHeads():
        if masked == "in place":
            found = F.scaled_dot_product_attention(query, key, value, mask, **rest)
        else:
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask if masked else None, **rest)
    assert found.shape == value.shape
    torch.testing.assert_close(found, attention(query, key, value, options.get("scale"), mask if masked else None))
    assert [seen for seen, _ in widths.seen] == [-(-width // 8) * 8]


def test_values_of_another_width_and_named_arguments_stay():
    query, key, value = torch.randn(1, 1, 5, 10), torch.randn(1, 1, 5, 10), torch.randn(1, 1, 5, 6)
    with PaddedHeads():
        torch.testing.assert_close(F.scaled_dot_product_attention(query, key, value), attention(query, key, value))
        torch.testing.assert_close(
            F.scaled_dot_product_attention(query=query, key=key, value=value), attention(query, key, value)
        )


class Attending(TinyStudent):
    """A student with a head of ten channels."""

    def restore(self, lr, generator=None):
        tokens = lr.flatten(0, 1).flatten(2).repeat(1, 4, 1)[:, :10].transpose(1, 2)[:, None]
        return super().restore(lr) + F.scaled_dot_product_attention(tokens, tokens, tokens).mean()


def test_a_prepared_student_pads_and_leaves_nothing_behind():
    torch.manual_seed(0)
    student, clip = Attending(width=8), torch.rand(1, 1, 3, 16, 16)
    with torch.no_grad():
        plain = student.eval().restore(clip)
    with Widths() as widths:
        prepared = prepare(student).restore(clip)
        F.scaled_dot_product_attention(*[torch.zeros(1, 1, 4, 10)] * 3)
    assert [seen for seen, _ in widths.seen] == [16, 10]
    torch.testing.assert_close(prepared, plain, atol=1e-4, rtol=1e-4)
