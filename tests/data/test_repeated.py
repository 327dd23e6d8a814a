"""A fixed set of clips: the draws of the first epochs, in ever new orders."""

import pytest
import torch

from adc.data import DegradedClips
from adc.data.modules.repeated import RepeatedClips
from adc.degradation import SecondOrder


def drawn(data, batches):
    data.setup("fit")
    loader = iter(data.train_dataloader())
    return [data.on_after_batch_transfer(next(loader), 0) for _ in range(batches)]


def clips(data, batches):
    return [(name, lr) for batch in drawn(data, batches) for name, lr in zip(batch["name"], batch["lr"], strict=True)]


def module(**options):
    return DegradedClips(SecondOrder("adcsr"), 11, size=64, workers=0, **options)


@pytest.mark.parametrize("degrade", ["workers", "device"])
def test_clips_of_later_epochs_are_those_of_the_first(degrade):
    plain, again = clips(module(degrade=degrade), 3), clips(RepeatedClips(module(degrade=degrade), 2), 6)
    for (name, lr), (other, same) in zip(plain[:22], again[:22], strict=True):
        assert name == other
        assert torch.equal(lr, same)
    for start in (22, 44):
        assert [name for name, _ in again[start : start + 22]] != [name for name, _ in again[:22]]
        for epoch in range(2):
            known = dict(again[11 * epoch : 11 * epoch + 11])
            for name, lr in again[start + 11 * epoch : start + 11 * epoch + 11]:
                assert torch.equal(lr, known[name])
    assert not all(torch.equal(lr, dict(again[:11])[name]) for name, lr in plain[22:])


def test_the_rest_is_the_modules_own():
    data, inner = RepeatedClips(module(validation_size=64, validation_limit=1)), module(validation_size=64)
    data.setup("fit")
    (batch,) = data.val_dataloader()
    assert torch.equal(batch["hr"][0], inner.validation_set()[0]["hr"])
    with pytest.raises(ValueError, match="epochs: 0 is less than 1"):
        RepeatedClips(module(), 0)
