import math

import pytest
import torch

from adc.ops import gan


@pytest.mark.parametrize("logit", [-3.0, -0.5, 0.0, 0.25, 2.0])
@pytest.mark.parametrize("label", [1, -1])
def test_margins_in_closed_form(logit, label):
    logits = torch.tensor([[logit]])
    assert gan.discriminator_loss(logits, label, "non_saturating").item() == pytest.approx(
        math.log1p(math.exp(-label * logit)), abs=1e-6
    )
    assert gan.discriminator_loss(logits, label, "hinge").item() == pytest.approx(max(0.0, 1 - label * logit), abs=1e-6)


def test_margins_are_means_over_everything():
    logits = torch.tensor([[[1.0, -2.0], [0.5, 4.0]]])
    assert gan.discriminator_loss(logits, 1, "hinge").item() == pytest.approx((0 + 3 + 0.5 + 0) / 4)
    assert gan.discriminator_loss(logits, -1, "hinge").item() == pytest.approx((2 + 0 + 1.5 + 5) / 4)


def test_persuasion_in_closed_form():
    logits = torch.tensor([0.3, -1.2])
    expected = (math.log1p(math.exp(-0.3)) + math.log1p(math.exp(1.2))) / 2
    assert gan.generator_loss(logits, "non_saturating").item() == pytest.approx(expected, abs=1e-6)
    assert gan.generator_loss(logits, "hinge").item() == pytest.approx((-0.3 + 1.2) / 2, abs=1e-6)


def test_losses_of_half_precision_logits_are_computed_in_float32():
    logits = torch.tensor([10.0], dtype=torch.float16)
    for form in ("non_saturating", "hinge"):
        assert gan.generator_loss(logits, form).dtype == gan.discriminator_loss(logits, -1, form).dtype == torch.float32
    assert gan.discriminator_loss(logits, 1, "non_saturating").item() == pytest.approx(math.exp(-10), rel=1e-3)


def test_adaptive_weight_by_hand():
    """``r = 3 w0 + 4 w1`` has the gradient (3, 4) of norm 5, ``a = 0.6 w0 - 0.8 w1`` one of norm 1."""
    last = torch.tensor([1.0, 2.0], requires_grad=True)
    reconstruction = (last * torch.tensor([3.0, 4.0])).sum()
    adversarial = (last * torch.tensor([0.6, -0.8])).sum()
    weight = gan.adaptive_weight(reconstruction, adversarial, last)
    assert weight.item() == pytest.approx(5 / (1 + 1e-4), rel=1e-6)
    assert not weight.requires_grad
    assert last.grad is None
    (reconstruction + weight * adversarial).backward()


def test_adaptive_weight_has_an_upper_end():
    last = torch.ones(1, requires_grad=True)
    assert gan.adaptive_weight(1e3 * last.sum(), 0 * last.sum(), last).item() == 1e4
    assert gan.adaptive_weight(0 * last.sum(), last.sum(), last).item() == 0


def test_adaptive_weight_of_averaged_gradients():
    """Averaging comes before the norms: two processes with opposite gradients have none together."""
    last = torch.ones(2, requires_grad=True)
    weight = gan.adaptive_weight(last.sum(), last[0], last, average=lambda gradient: gradient * 0.5)
    assert weight.item() == pytest.approx(0.5 * math.sqrt(2) / (0.5 + 1e-4), rel=1e-6)


def test_margin_and_accuracy_in_closed_form():
    real = [(torch.tensor([2.0, -1.0]), 1), (torch.tensor([[3.0, 4.0]]), 1)]
    fake = [(torch.tensor([-1.0, 0.0]), -1)]
    margin, accuracy = gan.separation(real + fake)
    assert margin.item() == pytest.approx((2 - 1 + 3 + 4) / 4 - (-1 + 0) / 2)
    assert accuracy.item() == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_one_answer_for_all_is_right_in_half():
    _, accuracy = gan.separation([(torch.ones(9), 1), (torch.ones(1), -1)])
    assert accuracy.item() == 0.5
