"""Losses and discriminators that break their contract are named in one line."""

from functools import partial

import pytest
from training import decoding, distillation, regression, train

from adc.losses import L1


class Wrong(L1):
    """A loss that breaks its contract."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, prediction, target):
        return self.result((prediction - target).abs())


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (lambda x: x, r"losses: Wrong: is a tensor \[2, 1, 3, 64, 64\], not a scalar"),
        (lambda x: (x.mean(),), "losses: Wrong: is a tuple, not a scalar tensor"),
        (lambda x: x.mean().item(), "losses: Wrong: is a float, not a scalar tensor"),
        (lambda x: x.mean((1, 2, 3, 4)), r"losses: Wrong: is a tensor \[2\], not a scalar"),
    ],
)
def test_a_loss_that_is_no_scalar_is_named(result, found):
    for make in (regression, distillation, partial(decoding, judged=False)):
        stage = make()
        stage.losses[0] = Wrong(result)
        with pytest.raises(ValueError, match=found):
            train(stage, 1)


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        (lambda x: [x.mean()], "phase 'network' gave a list for losses; it must give scalar tensors by name"),
        (lambda x: {}, "phase 'network' gave no losses"),
        (lambda x: {"a": x}, r"phase 'network', loss 'a': is a tensor \[2, 1, 3, 64, 64\], not a scalar"),
        (lambda x: {"a": 1.0}, "phase 'network', loss 'a': is a float"),
    ],
)
def test_a_phase_without_named_scalars_is_named(losses, found):
    stage = regression()
    stage.network_loss = lambda batch: losses(stage.network.restore(batch["lr"]))
    with pytest.raises(ValueError, match=f"Regression: {found}"):
        train(stage, 1)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda logits: logits["realism"], "gave a Tensor; it must give logits for each head: realism"),
        (lambda logits: {"detail": logits["realism"]}, "gave logits for detail; it must give logits for each head"),
    ],
)
def test_a_discriminator_without_its_heads_is_named(change, found):
    for make, get in ((distillation, lambda s: s.discriminators[0]), (decoding, lambda s: s.discriminator)):
        stage = make()
        network = get(stage)
        forward = network.forward
        network.forward = lambda *views, forward=forward: change(forward(*views))
        with pytest.raises(ValueError, match=f"TinyDiscriminator: {found}"):
            train(stage, 1)
