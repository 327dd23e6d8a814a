from functools import partial

import pytest
import torch
from adc_tiny import TinyStudent
from training import AfterBatch, regression, train

from adc.losses import L1, MSE, Charbonnier
from adc.stages import Regression
from adc.training import Role


def make(losses, **options):
    return Regression(TinyStudent(width=4, channels=4), losses, {"network": Role(torch.optim.SGD)}, **options)


def test_losses_are_weighted_and_none_is_lost():
    stage = make([L1(weight=0.5), Charbonnier(), L1(weight=2.0)])
    batch = {"lr": torch.rand(1, 1, 3, 16, 16), "hr": torch.rand(1, 1, 3, 64, 64)}
    losses = stage.network_loss(batch)
    assert set(losses) == {"L1", "Charbonnier", "L1_2"}
    assert losses["L1_2"].item() == pytest.approx(4 * losses["L1"].item())


def test_it_learns():
    role = Role(partial(torch.optim.Adam, lr=1e-2))
    stage, history = regression(role=role), []
    watch = AfterBatch(lambda trainer, stage: history.append(trainer.callback_metrics["network/L1"].item()))
    train(stage, 60, callbacks=[watch])
    assert sum(history[-5:]) < 0.9 * sum(history[:5])


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ([MSE("feature")], {}, "losses: MSE compares features with the real"),
        ([MSE(against="teacher")], {}, "losses: MSE compares pixels with the teacher"),
        ([L1()], {"frozen": ["codec"]}, "no part 'codec'; 'codec' was renamed to 'autoencoder'."),
    ],
)
def test_what_does_not_fit_is_refused(losses, options, message):
    with pytest.raises(ValueError, match=message):
        make(losses, **options)


def test_a_network_that_is_frozen_whole_is_refused():
    with pytest.raises(ValueError, match="its network has no trainable parameter"):
        train(make([L1()], frozen=["body", "guess", "decoder"]), 1)


def test_frozen_parts_stay_in_evaluation_mode():
    stage, modes = regression(frozen=["decoder"]), []
    network = stage.network
    watch = AfterBatch(lambda *_: modes.append((network.training, network.body.training, network.decoder.training)))
    train(stage, 2, callbacks=[watch], limit_val_batches=1, val_check_interval=1, check_val_every_n_epoch=None)
    assert modes == [(True, True, False)] * 2
