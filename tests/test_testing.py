"""Every clause that `adc.testing` verifies, broken on purpose."""

import functools

import pytest
import torch
from adc_tiny import (
    Bicubic,
    TinyAutoencoder,
    TinyCausalAutoencoder,
    TinyConditioner,
    TinyDenoiser,
    TinyDiscriminator,
    TinyScoreDiscriminator,
    TinyScorer,
    TinySpace,
    TinyStudent,
    TinyTeacher,
)
from torch import nn

from adc import testing
from adc.interfaces import Degradation, Loss, Prunable, Source, Student, Teacher
from adc.ops.clip import per_frame, quantize, upsample_bicubic


def broken(base, method, change, **attributes):
    """An instance of a subclass whose method is `change(original, self, *arguments)`."""
    original = getattr(base, method)

    @functools.wraps(original)
    def replacement(self, *arguments, **named):
        return change(lambda *a, **k: original(self, *a, **k), self, *arguments, **named)

    return type("Broken", (base,), {method: replacement, **attributes})()


def counted(f, self, x):
    self.calls = getattr(self, "calls", 0) + 1
    return f(x) + 0.1 * self.calls


def mixed(f, self, x):
    return f(x) + x.mean()


def changing(f, self, x):
    result = f(x)
    if not x.requires_grad:
        x.add_(0.01)
    return result


RESTORE = {
    "wrong size": (lambda f, s, x: f(x)[..., 1:], r"shape must be \(2, 1, 3, 64, 64\)"),
    "one frame only": (lambda f, s, x: f(x)[:, :1], r"shape must be \(1, 3, 3, 64, 64\)"),
    "multiples only": (lambda f, s, x: f(x)[..., : x.shape[-1] // 16 * 64], "shape must be"),
    "no tensor": (lambda f, s, x: [f(x)], "must return a tensor; got list"),
    "bytes": (lambda f, s, x: (f(x) + 1) * 127.5, "pixels must be about"),
    "integers": (lambda f, s, x: f(x).byte(), "must be floating point; got torch.uint8"),
    "infinite": (lambda f, s, x: f(x) / 0, "must be finite"),
    "elsewhere": (lambda f, s, x: f(x).to("meta"), "must lie on the input's device cpu; got meta"),
    "detached": (lambda f, s, x: f(x).detach(), "must carry gradients to the input"),
    "cut": (lambda f, s, x: f(x.detach()) + 0 * x.sum(), "gradient of the input must not be zero"),
    "random": (lambda f, s, x: f(x) + torch.randn(()), "same input must give the same result"),
    "counting": (counted, "same input must give the same result"),
    "batch": (mixed, "must not depend on the other clips"),
    "input": (changing, "must leave its input unchanged"),
}


@pytest.mark.parametrize("case", RESTORE)
def test_restore(case):
    change, message = RESTORE[case]
    with pytest.raises(AssertionError, match=message) as caught:
        testing.check_restorer(broken(Bicubic, "restore", change))
    assert str(caught.value).startswith("Broken.restore: ")


def test_scale_forward_and_kind():
    with pytest.raises(AssertionError, match=r"Broken\.scale: must be a whole number"):
        testing.check_restorer(broken(TinyTeacher, "restore", lambda f, s, x: f(x), scale=4.0))
    with pytest.raises(AssertionError, match=r"Broken\.forward: must be the same as restore"):
        testing.check_restorer(broken(Bicubic, "forward", lambda f, s, x: f(x) + 1))
    with pytest.raises(AssertionError, match=r"Conv2d: must be a subclass of adc\.interfaces\.Restorer"):
        testing.check_restorer(nn.Conv2d(3, 3, 1))


def test_gradients_reach_parameters():
    class Detached(TinyTeacher):
        def latent(self, lr):
            z = self.autoencoder.encode(upsample_bicubic(lr, 4))
            return z + super().latent(lr).detach()

    with pytest.raises(AssertionError, match="must carry gradients to the parameters"):
        testing.check_teacher(Detached())


FEATURES = {
    "flat": (lambda f, s, x, space: f(x, space).flatten(3), r"shape must be \(2, 1, any, any, any\)"),
    "nan": (lambda f, s, x, space: f(x, space) * float("nan"), "must be finite"),
    "random": (lambda f, s, x, space: f(x, space) + torch.randn(()), "same input must give the same result"),
}


@pytest.mark.parametrize("case", FEATURES)
def test_features(case):
    change, message = FEATURES[case]
    with pytest.raises(AssertionError, match=message) as caught:
        testing.check_teacher(broken(TinyTeacher, "features", change))
    assert str(caught.value).startswith("Broken.features: ")


def test_features_fit_the_student():
    with pytest.raises(AssertionError, match=r"shaped like TinyStudent\.encode"):
        testing.check_teacher(TinyTeacher(), TinySpace(channels=8), TinyStudent(channels=4))
    with pytest.raises(AssertionError, match=r"TinyStudent\.encode \(shaped like TinySpace\.embed\)"):
        testing.check_student(TinyStudent(channels=4), TinySpace(channels=8))


STUDENT = {
    "encode shape": ("encode", lambda f, s, x: f(x)[:, 0], r"Broken\.encode: the result's shape"),
    "encode detached": (
        "encode",
        lambda f, s, x: f(x).detach() + 0 * x.mean(),
        "must carry gradients to the parameters",
    ),
    "decode shape": ("decode", lambda f, s, x: f(x)[..., :-1], "the result's shape must be"),
    "not both halves": ("restore", lambda f, s, x, *_: f(x) * 0.5, r"Broken\.restore: must be decode\(encode\(lr\)\)"),
    "decode_latents": ("decode_latents", lambda f, s, x: f(x)[:, :, :1], r"Broken\.decode_latents: the result's shape"),
    "decoder": ("decode_latents", lambda f, s, x: f(x).detach(), "must carry gradients to the parameters of decoder"),
}


@pytest.mark.parametrize("case", STUDENT)
def test_student(case):
    method, change, message = STUDENT[case]
    whole = {} if method != "encode" else {"restore": lambda s, x, generator=None: s.decode(TinyStudent.encode(s, x))}
    with pytest.raises(AssertionError, match=message):
        testing.check_student(broken(TinyStudent, method, change, **whole), autoencoder=TinyAutoencoder())


def test_student_with_nothing_to_train():
    with pytest.raises(AssertionError, match="must have parameters to train"):
        testing.check_student(TinyStudent().requires_grad_(False))


PRUNABLE = {
    "kind": (lambda f, s: None, "must return a Prunable"),
    "example": (lambda f, s: Prunable(f().network, torch.zeros(1, 3, 16, 16), {}), "must be a tuple of tensors"),
    "image": (lambda f, s: Prunable(f().network, (torch.zeros(1, 1, 3, 16, 16),), {}), r"an image \(B, 3, h, w\)"),
    "pixels": (lambda f, s: Prunable(s.body[:1], f().example, {}), r"shape must be \(1, 3, 64, 64\)"),
    "parts": (lambda f, s: Prunable(f().network, f().example, {"x": nn.Conv2d(3, 3, 1)}), "'x' must be a part"),
    "ignored": (lambda f, s: Prunable(f().network, f().example, {}, [nn.Conv2d(3, 3, 1)]), "layers of network"),
    "copy": (lambda f, s: Prunable(TinyStudent().prunable().network, f().example, {}), "the student's own layers"),
}


@pytest.mark.parametrize("case", PRUNABLE)
def test_prunable(case):
    change, message = PRUNABLE[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_student(broken(TinyStudent, "prunable", change))


CODEC = {
    "encode": ("encode", lambda f, s, x: f(x).sum(1), "the result's shape"),
    "to_decoder_input": ("to_decoder_input", lambda f, s, x: f(x)[0], r"Broken\.to_decoder_input: the result's shape"),
    "decode": ("decode", lambda f, s, x: f(x)[..., 1:], r"Broken\.decode: the result's shape"),
    "range": ("decode", lambda f, s, x: f(x) * 255, "pixels must be about"),
    "sampled": ("encode", lambda f, s, x: f(x) + 0.1 * torch.randn_like(f(x)), "same input must give the same result"),
    "batch": ("encode", mixed, "must not depend on the other clips"),
    "no gradient": ("decode", lambda f, s, x: f(x).detach(), "must carry gradients to the input"),
}


@pytest.mark.parametrize("case", CODEC)
def test_codec(case):
    method, change, message = CODEC[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_autoencoder(broken(TinyAutoencoder, method, change))


SPACE = {
    "embed": ("embed", lambda f, s, x: f(x)[:, :, 0], r"Broken\.embed: the result's shape"),
    "project_latents": (
        "project_latents",
        lambda f, s, x: f(x)[..., 1:] if x.shape[0] == 1 else f(x),
        "shaped like embed's",
    ),
    "no gradient": ("embed", lambda f, s, x: f(x).detach(), "must carry gradients to the pixels"),
    "batch": ("embed", mixed, "must not depend on the other clips"),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": 4}, r"strides: must be \(temporal, spatial\)"),
        ({"strides": (4, 8)}, r"encode: the result's shape must be \(2, 1, any, 8, 8\)"),
        ({"latent_frames": lambda self, frames: frames}, r"encode: the result's shape must be \(1, 9, any"),
        ({"latent_frames": lambda self, frames: -(-(frames - 1) // 4) + 1}, "latent_frames: must refuse 4 frames"),
    ],
)
def test_autoencoder_with_another_temporal_rule(change, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_autoencoder(type("Broken", (TinyCausalAutoencoder,), change)())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, s, x, g=None: f(x) + (0 if g is None else torch.randn(())), "same state of the generator"),
        (lambda f, s, x, g=None: f(x) + (0 if g is None else 0.1), "another state must give another candidate"),
    ],
)
def test_candidates(change, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_restorer(broken(TinyTeacher, "restore", change))


def test_a_restorer_without_a_generator():
    made = type("Old", (Bicubic,), {"restore": lambda self, lr: upsample_bicubic(lr, 4)})()
    with pytest.raises(AssertionError, match="must take a generator"):
        testing.check_restorer(made)


@pytest.mark.parametrize(("key", "value"), [("temporal_context", -1), ("multiple", 0), ("multiple", None)])
def test_restorer_attributes(key, value):
    restorer = TinyTeacher()
    setattr(restorer, key, value)
    with pytest.raises(AssertionError, match=rf"TinyTeacher\.{key}: must be a whole number"):
        testing.check_restorer(restorer)


def test_latents_need_a_student_that_decodes_them():
    class Pixels(Student):
        def __init__(self):
            super().__init__()
            self.network = torch.nn.Conv2d(3, 3, 1)

        def encode(self, lr):
            return per_frame(self.network, lr)

        def decode(self, feature):
            return upsample_bicubic(feature, 4)

    testing.check_student(Pixels())
    with pytest.raises(AssertionError, match=r"must be a subclass of adc\.interfaces\.LatentStudent"):
        testing.check_student(Pixels(), autoencoder=TinyAutoencoder())


SCORE = {
    "heads": (lambda f, s, x, t: {}, "must give logits of every head, realism"),
    "clips": (lambda f, s, x, t: {"realism": f(x, t)["realism"].sum(0)}, "result's shape must be"),
    "one network": (lambda f, s, x, t: f({**x, "fake": [y.detach() for y in x["fake"]]}, t), "network 'fake'"),
    "one tap": (lambda f, s, x, t: f({n: [y[0], y[1].detach()] for n, y in x.items()}, t), "feature 1 of the network"),
    "random": (lambda f, s, x, t: {h: y + torch.randn(()) for h, y in f(x, t).items()}, "must give the same result"),
}


@pytest.mark.parametrize("case", SCORE)
def test_score_discriminator(case):
    change, message = SCORE[case]
    made = broken(
        TinyScoreDiscriminator, "forward", change, __init__=lambda self: TinyScoreDiscriminator.__init__(self, taps=2)
    )
    with pytest.raises(AssertionError, match=message):
        testing.check_score_discriminator(made)


def test_widths_of_a_score_discriminator():
    made = TinyScoreDiscriminator()
    made.widths = {"real": 16}
    with pytest.raises(AssertionError, match="widths: must name the channels of real and fake"):
        testing.check_score_discriminator(made)


@pytest.mark.parametrize("case", SPACE)
def test_feature_space(case):
    method, change, message = SPACE[case]
    space = broken(TinySpace, method, change)
    if case == "project_latents":
        space.embed = lambda x: TinySpace.project_latents.__get__(TinySpace())(space.autoencoder.encode(x))
    with pytest.raises(AssertionError, match=message):
        testing.check_feature_space(space, TinyAutoencoder())


JUDGE = {
    "no dict": (lambda f, s, x: f(x)["realism"], "must return logits by head; got Tensor"),
    "a head is missing": (lambda f, s, x: {}, "must give logits of every head, realism"),
    "infinite": (lambda f, s, x: {"realism": f(x)["realism"] / 0}, r"\(head 'realism'\): the result must be finite"),
    "detached": (lambda f, s, x: {"realism": f(x)["realism"].detach()}, "must carry gradients to the view"),
    "random": (lambda f, s, x: {"realism": f(x)["realism"] + torch.randn(())}, "same input must give the same result"),
    "blind": (
        lambda f, s, x: {"realism": f(x.detach())["realism"] + 0 * x.sum()},
        "gradient of the view must not be zero",
    ),
}


@pytest.mark.parametrize("case", JUDGE)
def test_discriminator(case):
    change, message = JUDGE[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_discriminator(broken(TinyDiscriminator, "forward", change))


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [("domain", "latent", r"domain: must be one of pixel, feature; got 'latent'"),
     ("heads", ["realism"], r"heads: must be a tuple of names"),
     ("heads", (), r"heads: must be a tuple of names"),
     ("heads", ("a", "a"), r"heads: must be a tuple of names")],
)  # fmt: skip
def test_discriminator_attributes(attribute, value, message):
    discriminator = TinyDiscriminator()
    setattr(discriminator, attribute, value)
    with pytest.raises(AssertionError, match=message):
        testing.check_discriminator(discriminator)


def test_discriminator_that_is_frozen():
    with pytest.raises(AssertionError, match="must have parameters to train"):
        testing.check_discriminator(TinyDiscriminator().requires_grad_(False))


class Absolute(Loss):
    """The mean absolute difference."""

    def forward(self, prediction, target):
        return (prediction - target).abs().mean()


LOSS = {
    "map": (lambda f, s, p, t: (p - t).abs(), r"shape must be \(\)"),
    "sum": (lambda f, s, p, t: (p - t).abs().sum() / 1e4, "must be a mean"),
    "weighted": (lambda f, s, p, t: s.weight * f(p, t), "must not be weighted"),
    "detached": (lambda f, s, p, t: f(p, t).detach(), "must carry gradients to the prediction"),
    "random": (
        lambda f, s, p, t: f(p, t) + torch.rand(()),
        "must be a mean|must give the same result|must be the loss",
    ),
}


@pytest.mark.parametrize("case", LOSS)
def test_loss(case):
    testing.check_loss(Absolute())
    testing.check_loss(Absolute(domain="feature"), channels=4)
    change, message = LOSS[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_loss(broken(Absolute, "forward", change))


PER_SAMPLE = {
    "one for all": (lambda f, s, p, t: f(p, t).mean(), r"per_sample: the result's shape must be \(2,\)"),
    "sum": (lambda f, s, p, t: 2 * f(p, t), r"per_sample: its mean must be the loss of the batch"),
}


@pytest.mark.parametrize("case", PER_SAMPLE)
def test_loss_per_sample(case):
    change, message = PER_SAMPLE[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_loss(broken(Absolute, "per_sample", change))


@pytest.mark.parametrize("attribute", ["domain", "against", "weight"])
def test_loss_attributes(attribute):
    loss = Absolute()
    setattr(loss, attribute, "latent")
    with pytest.raises(AssertionError, match=rf"Absolute\.{attribute}: must be"):
        testing.check_loss(loss)


class Noisy(Degradation):
    """Every fourth pixel, with noise."""

    def forward(self, hr, generator):
        small = hr[..., :: self.scale, :: self.scale]
        return quantize(small + 0.1 * torch.randn(small.shape, generator=generator))


DEGRADATION = {
    "size": (lambda f, s, x, g: f(x, g)[..., 1:], "the result's shape"),
    "range": (lambda f, s, x, g: f(x, g) * 2, r"must stay in \[-1, 1\]"),
    "bytes": (lambda f, s, x, g: f(x, g) * 0.997, "grid of 8-bit values"),
    "global": (lambda f, s, x, g: f(x, torch.default_generator), "must give the same clip"),
    "input": (lambda f, s, x, g: f(x.mul_(0.5), g), "must leave its input unchanged"),
}


@pytest.mark.parametrize("case", DEGRADATION)
def test_degradation(case):
    testing.check_degradation(Noisy())
    change, message = DEGRADATION[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_degradation(broken(Noisy, "forward", change))


class Truth(Source):
    """The large clips."""

    def __call__(self, batch):
        return batch["hr"]


SOURCE = {
    "frames": (lambda f, s, batch: f(batch)[:, 0], "the result's shape"),
    "range": (lambda f, s, batch: f(batch) * 2, r"must stay in \[-1, 1\]"),
    "in place": (lambda f, s, batch: f(batch).mul_(0.5), "must leave the batch unchanged"),
    "key": (lambda f, s, batch: batch.setdefault("extra", f(batch)), "must leave the batch unchanged"),
}


@pytest.mark.parametrize("case", SOURCE)
def test_source(case):
    testing.check_source(Truth())
    change, message = SOURCE[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_source(broken(Truth, "__call__", change))


DENOISER = {
    "no list": (lambda f, s, z, t, c, taps=(), **_: f(z, t, c)[0], "must return the velocity and the list"),
    "shape": (lambda f, s, z, t, c, taps=(), **_: (f(z, t, c)[0][:, :, :3], f(z, t, c, taps)[1]), "the result's shape"),
    "taps": (lambda f, s, z, t, c, taps=(), **_: (f(z, t, c)[0], []), "each of 2 taps; got 0"),
    "uninvited": (
        lambda f, s, z, t, c, taps=(), **_: (f(z, t, c)[0], [z, z]),
        "there must be no features",
    ),
    "changed": (
        lambda f, s, z, t, c, taps=(), **_: (f(z, t, c)[0] + len(taps), f(z, t, c, taps)[1]),
        "must not change",
    ),
    "detached": (lambda f, s, z, t, c, taps=(), **_: (f(z, t, c)[0].detach(), f(z, t, c, taps)[1]), "gradients to z_t"),
}


@pytest.mark.parametrize("case", DENOISER)
def test_denoiser(case):
    change, message = DENOISER[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_denoiser(broken(TinyDenoiser, "forward", change), TinyConditioner(), taps=(0, 1))


EARLY = {
    "velocity": (lambda f, s, *a, **k: (a[0], f(*a, **k)[1]), "there must be no velocity, but None"),
    "features": (lambda f, s, *a, **k: (None, [2 * x for x in f(*a, **k)[1]]), "must not change the features"),
}


@pytest.mark.parametrize("case", EARLY)
def test_denoiser_that_ends_early(case):
    change, message = EARLY[case]

    def only_early(f, s, *arguments, stop_early=False):
        return change(f, s, *arguments, stop_early=True) if stop_early else f(*arguments)

    with pytest.raises(AssertionError, match=message):
        testing.check_denoiser(broken(TinyDenoiser, "forward", only_early), TinyConditioner(), taps=(0,))


def test_denoiser_depth():
    with pytest.raises(AssertionError, match=r"TinyDenoiser\.depth: must count the blocks to tap, more than 2; got 2"):
        testing.check_denoiser(TinyDenoiser(), TinyConditioner(), taps=(2,))


def emptied(f, s, c):
    c["text"].zero_()
    return f(c)


CONDITION = {
    "dropped": ("unconditional", lambda f, s, c: {"lr": f(c)["lr"]}, "must keep the entries"),
    "too much": ("unconditional", lambda f, s, c: {k: v * 0.5 for k, v in c.items()}, "'lr' changes"),
    "in place": ("unconditional", emptied, "must leave the condition as it is; 'text' changes"),
    "no tensors": ("condition", lambda f, s, b: {"text": b["name"]}, "must return tensors by name"),
}


@pytest.mark.parametrize("case", CONDITION)
def test_conditioner(case):
    method, change, message = CONDITION[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_conditioner(broken(TinyConditioner, method, change))


def test_conditioner_clean():
    with pytest.raises(AssertionError, match=r"Broken\.clean: the result's shape"):
        testing.check_conditioner(broken(TinyConditioner, "clean", lambda f, s, b: f(b).flatten(3)))


SCORER = {
    "one for all": (lambda f, s, x: f(x).mean(), r"shape must be \(2,\)"),
    "frames": (lambda f, s, x: x.mean(dim=(2, 3, 4)), r"shape must be \(2,\)"),
    "batch": (lambda f, s, x: f(x) - f(x).mean(), "must not depend on the other clips"),
}


@pytest.mark.parametrize("case", SCORER)
def test_scorer(case):
    change, message = SCORER[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_scorer(broken(TinyScorer, "forward", change))


def test_a_component_is_left_as_it_was():
    student = TinyStudent()
    student.body.eval()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    state = torch.get_rng_state()
    testing.check_student(student, TinySpace(), TinyAutoencoder())
    assert student.training
    assert not student.body.training
    assert all(parameter.grad is None for parameter in student.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in student.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_a_teacher_that_is_not_one():
    class Half(Teacher):
        def restore(self, lr, generator=None):
            return upsample_bicubic(lr, 2)

    with pytest.raises(AssertionError, match=r"Half\.restore: the result's shape"):
        testing.check_teacher(Half())
