import copy

import pytest
import torch
from adc_tiny import TinyAutoencoder, TinyDiscriminator, TinyStudent
from training import AfterBatch, Watch, clip_pair, decoding, train

from adc.losses import L1, MSE
from adc.stages import DecoderPretraining
from adc.training import Role


def batch(count=2):
    items = [clip_pair(index) for index in range(count)]
    return {key: torch.stack([item[key] for item in items]) for key in ("lr", "hr")}


def prepared(stage):
    stage.active_phases = ("decoder", "discriminator")
    return stage.prepare(batch())


def test_the_decoder_learns_the_codecs_latents():
    """Reconstruction is of the truth, from ``project(encode(truth))``, by the student's decoder alone."""
    stage = decoding(judged=False)
    views = stage.prepare(batch())
    truth = batch()["hr"]
    restored = stage.student.decode_latents(stage.autoencoder.to_decoder_input(stage.autoencoder.encode(truth)))
    (loss,) = stage.decoder_loss(views).values()
    assert loss.item() == pytest.approx((restored - truth).abs().mean().item(), rel=1e-6)


def test_summed_losses_are_sums_over_each_clip():
    mean, summed = (decoding(judged=False, summed=summed) for summed in (False, True))
    (small,), (large,) = (stage.decoder_loss(prepared(stage)).values() for stage in (mean, summed))
    assert large.item() == pytest.approx(small.item() * 3 * 64 * 64, rel=1e-5)


@pytest.mark.parametrize("summed", [False, True])
def test_the_step_is_latent_diffusions(summed):
    """``nll + clamp(|d nll| / (|d g| + 1e-4)) * 0.5 * g``, ``g = -mean D(y)``, both gradients at the last layer."""
    stage = decoding(summed=summed, adversarial_weight=0.5)
    stage.trainer = type("Alone", (), {"strategy": type("One", (), {"reduce": staticmethod(lambda x, **_: x)})})
    views, logged = prepared(stage), {}
    stage.log = logged.__setitem__
    losses = stage.decoder_loss(views)

    twin = copy.deepcopy(stage.student)
    truth, last = batch()["hr"], twin.decoder.conv_out.weight
    restored = twin.decode_latents(stage.autoencoder.to_decoder_input(stage.autoencoder.encode(truth)))
    nll = (restored - truth).abs().sum() / len(truth) if summed else (restored - truth).abs().mean()
    (logits,) = stage.discriminator(restored).values()
    g = -logits.mean()
    norms = [torch.autograd.grad(term, last, retain_graph=True)[0].norm() for term in (nll, g)]
    weight = (norms[0] / (norms[1] + 1e-4)).clamp(0, 1e4)
    assert logged["gan/gradient_ratio"].item() == pytest.approx((1 / weight).item(), rel=1e-4)
    assert losses["L1"].item() == pytest.approx(nll.item(), rel=1e-5)
    assert losses["adv"].item() == pytest.approx((0.5 * weight * g).item(), rel=1e-4)

    torch.stack(list(losses.values())).sum().backward()
    (nll + 0.5 * weight.detach() * g).backward()
    for own, other in zip(stage.student.decoder.parameters(), twin.decoder.parameters(), strict=True):
        assert torch.allclose(own.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_the_discriminator_minimises_half_of_both_hinges():
    stage = decoding(adaptive=False)
    views = prepared(stage)
    stage.decoder_loss(views)
    losses = stage.discriminator_loss(views)
    (real,), (fake,) = (stage.discriminator(view).values() for view in (views["real"], views["restored"]))
    assert losses["real"].item() == pytest.approx(0.5 * torch.relu(1 - real).mean().item(), rel=1e-6)
    assert losses["fake"].item() == pytest.approx(0.5 * torch.relu(1 + fake).mean().item(), rel=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_discriminator_counts_after_so_many_updates_of_the_decoder(accumulate):
    """Whole windows: in the batch in which the decoder reaches the number, the discriminator still rests."""
    stage = decoding(adversarial_start=2, accumulate=accumulate)
    history, keys = [], []
    loss = stage.decoder_loss
    stage.decoder_loss = lambda views: keys.append(sorted(found := loss(views))) or found
    note = AfterBatch(lambda trainer, stage: history.append(tuple(stage.updates.values())))
    train(stage, 4, "decoder", callbacks=[note])
    assert history[accumulate - 1 :: accumulate] == [(1, 0), (2, 0), (3, 1), (4, 2)]
    assert keys == [["L1"]] * 2 * accumulate + [["L1", "adv"]] * 2 * accumulate


def test_the_discriminator_rests_without_gradients():
    stage = decoding(adversarial_start=3)
    stepped = []
    train(stage, 3, callbacks=[Watch(lambda stage, role: stepped.append(role))])
    assert stepped == ["decoder"] * 3


def options(**changes):
    roles = {"decoder": Role(torch.optim.SGD), "discriminator": Role(torch.optim.SGD)}
    return {
        "student": TinyStudent(),
        "autoencoder": TinyAutoencoder(),
        "losses": [L1()],
        "roles": roles,
        "discriminator": TinyDiscriminator("pixel", 3),
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": [MSE("feature")]}, "losses: MSE must compare pixels"),
        ({"losses": [MSE(against="teacher")]}, "losses: MSE must compare pixels with the truth"),
        (
            {"discriminator": TinyDiscriminator("feature")},
            "discriminator: it must be of the domain pixel",
        ),
        ({"discriminator": TinyDiscriminator("pixel", 3, ["a", "b"])}, "not pixel with a, b"),
        ({"discriminator": None}, "roles: DecoderPretraining trains decoder; found decoder, discriminator"),
        ({"last_layer": "conv_outt"}, "last_layer: TinyDecoder has no layer 'conv_outt'"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DecoderPretraining(**options(**changes)).check()


def test_what_is_shown_and_written_has_adopted_the_decoder():
    stage, told = decoding(), []
    stage.student.sync_from_decoder = lambda: told.append(True)
    assert stage.restorer is stage.student
    assert told == [True]
