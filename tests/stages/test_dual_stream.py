"""Dual-stream distillation on tiny networks: routing, forwards, logs, ablations, processes."""

from functools import partial

import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser, TinyScoreDiscriminator
from adc_wan import ScoreHead
from lightning.pytorch import Callback

from adc.inference.latent import LatentDiffusion
from adc.ops.flow import TimeLaw
from adc.ops.random import ClipRandom
from adc.stages import DualStreamDistillation, StreamWeights
from adc.testing import check_score_discriminator, check_stage
from adc.testing.training import fit
from adc.training import Role
from adc.training.denoising import Latents

SGD = partial(torch.optim.SGD, lr=0.05)
Adam = partial(torch.optim.Adam, lr=1e-3, eps=1e-4)


def stage(head="tiny", optimizer=SGD, **options):
    """R has 16 channels and F 8, as if they were two networks."""
    student = LatentDiffusion(TinyDenoiser(8, seed=2), TinyConditioner(), steps=1)
    heads = {"tiny": lambda: TinyScoreDiscriminator(taps=2), "head": lambda: ScoreHead(16, 2, 4, 8), None: lambda: None}
    torch.manual_seed(0)
    roles = {name: Role(optimizer) for name in ("student", "fake_score", *(("head",) if head else ()))}
    given = {"taps": (0, 1), "times": TimeLaw(low=0.2, high=0.8), **options}
    return DualStreamDistillation(student, TinyDenoiser(16), TinyDenoiser(8, seed=1), roles, heads[head](), **given)


def batch(clips=2):
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(clips, 1, 3, 16, 16, generator=generator) * 2 - 1
    hr = torch.rand(clips, 1, 3, 64, 64, generator=generator) * 2 - 1
    return {"lr": lr, "hr": hr, "name": [str(number) for number in range(clips)]}


def prepared(one, given=None):
    one.logged = {}
    one.log = lambda name, value, **options: one.logged.__setitem__(name, float(value))
    one.log_dict = lambda values, **options: [one.log(*item) for item in values.items()]
    given = given or batch()
    return Latents(one.conditioner.clean(given), one.conditioner.condition(given), ClipRandom(2, 0))


class SaveAtEnd(Callback):
    def __init__(self, path):
        self.path = path

    def on_train_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.path, weights_only=False)


class Counter:
    """Calls of each denoiser, and with which options."""

    def __init__(self, one):
        self.calls = []
        for name, network in (("S", one.student.denoiser), ("R", one.real_score), ("F", one.fake_score)):
            network.register_forward_pre_hook(partial(self.note, name), with_kwargs=True)

    def note(self, name, network, arguments, options):
        early = options.get("stop_early", False)
        self.calls.append((name, "taps" if early else "velocity", torch.is_grad_enabled(), arguments[0]))


@pytest.mark.parametrize("head", ["tiny", "head"])
def test_contract(head):
    check_stage(stage(head, Adam), batch())


@pytest.mark.slow
@pytest.mark.parametrize("weights", [StreamWeights(), StreamWeights(0.0, 0.1, 0.0)], ids=["joint", "GAN alone"])
def test_two_processes_end_as_one(weights):
    check_stage(stage("head", Adam, weights=weights), batch(4), batches=8, processes=2)


@pytest.mark.parametrize("weights", [StreamWeights(1.0, 0.0, 0.0), StreamWeights(0.0, 0.1, 0.05)])
def test_contract_of_one_stream(weights):
    check_stage(stage("tiny" if weights.adversarial else None, Adam, weights=weights), batch())


def test_checkpoints_leave_the_real_score_out(tmp_path):
    save = SaveAtEnd(tmp_path / "end.ckpt")
    fit(stage(), batch(), 1, [save])
    kept = {key.split(".")[0] for key in torch.load(save.path, weights_only=True)["state_dict"]}
    assert kept == {"student", "fake_score", "head"}


def test_score_head():
    check_score_discriminator(ScoreHead(16, 2, 8, 12))


LOSSES = {
    ("auxiliary", "fake_score"): {"fake_score"},
    ("auxiliary", "realism_real"): {"head"},
    ("auxiliary", "realism_fake"): {"head"},
    ("student", "dmd"): {"student"},
    ("student", "adversarial"): {"student"},
    ("student", "matching"): {"student"},
}


@pytest.mark.parametrize(("phase", "loss"), LOSSES)
def test_each_loss_reaches_its_network_alone(phase, loss):
    one = stage()
    latents = prepared(one)
    networks = {"student": one.student.denoiser, "fake_score": one.fake_score, "head": one.head}
    one.real_score.requires_grad_(False)
    role_of = one.phases()[phase].updates
    for name, network in networks.items():
        network.requires_grad_(name in role_of)
    one.phases()[phase].loss(latents)[loss].backward()
    reached = {
        name
        for name, network in {**networks, "real_score": one.real_score}.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    }
    assert reached == LOSSES[phase, loss]


def test_detached_taps_keep_the_head_loss_out_of_the_fake_score():
    """Also where all networks ask for gradients."""
    one = stage()
    losses = one.auxiliary_loss(prepared(one))
    (losses["realism_real"] + losses["realism_fake"]).backward(retain_graph=True)
    others = (one.fake_score, one.student, one.real_score)
    assert all(p.grad is None for network in others for p in network.parameters())
    losses["fake_score"].backward()
    assert all(p.grad is None for network in (one.student, one.real_score) for p in network.parameters())


def test_forwards():
    one = stage(gradient_norms_every=0)
    counter = Counter(one)
    one.auxiliary_loss(prepared(one))
    assert [call[:3] for call in counter.calls] == [
        ("S", "velocity", False),
        ("F", "velocity", True),
        ("R", "taps", False),
        ("F", "taps", False),
        ("R", "taps", False),
    ]
    noisy = [call[3] for call in counter.calls]
    assert torch.equal(noisy[1], noisy[4])  # both scores see one noisy sample
    assert torch.equal(noisy[2], noisy[3])
    counter.calls.clear()
    one.student_loss(prepared(one))
    assert [call[:3] for call in counter.calls] == [
        ("S", "velocity", True),
        ("R", "velocity", True),
        ("F", "velocity", True),
        ("R", "taps", False),
        ("F", "taps", False),
    ]
    noisy = [call[3] for call in counter.calls]
    assert torch.equal(noisy[1], noisy[2])
    assert torch.equal(noisy[3], noisy[4])


def test_both_noisy_latents_have_one_time_and_one_noise():
    one = stage()
    latents = prepared(one)
    sample = one.sample(latents)
    t = sample.t.view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(sample.fake - (1 - t) * sample.clean, t * sample.noise)
    torch.testing.assert_close(sample.real - (1 - t) * latents.clean, t * sample.noise, atol=1e-6, rtol=1e-5)


def test_randomness_is_that_of_the_clips():
    one = stage()
    first, second = (one.sample(prepared(one)) for _ in range(2))
    assert torch.equal(first.clean, second.clean)
    assert torch.equal(first.fake, second.fake)


def test_guidance_of_the_real_score_is_one_more_forward():
    one = stage(None, weights=StreamWeights(1.0, 0.0, 0.0), real_guidance=3.0)
    counter = Counter(one)
    one.student_loss(prepared(one))
    assert [call[:3] for call in counter.calls] == [
        ("S", "velocity", True),
        ("R", "velocity", False),
        ("F", "velocity", False),
        ("R", "velocity", False),
    ]


def test_equal_scores_give_no_gradient_at_all():
    one = stage(None, weights=StreamWeights(1.0, 0.0, 0.0), gradient_norms_every=0)
    one.fake_score = TinyDenoiser(16)
    one.student_loss(prepared(one))["dmd"].backward()
    assert all(p.grad is None or not p.grad.any() for p in one.student.parameters())
    assert one.logged["dmd/difference"] == 0


def test_ablations():
    alone = stage(None, weights=StreamWeights(1.0, 0.0, 0.0))
    assert set(alone.student_loss(prepared(alone))) == {"dmd"}
    assert set(alone.auxiliary_loss(prepared(alone))) == {"fake_score"}
    assert alone.phases()["auxiliary"].updates == ("fake_score",)
    gan = stage(weights=StreamWeights(0.0, 0.1, 0.0))
    counter = Counter(gan)
    assert set(gan.student_loss(prepared(gan))) == {"adversarial"}
    assert [call[:2] for call in counter.calls] == [("S", "velocity"), ("R", "taps"), ("F", "taps")]
    assert "dmd/difference" not in gan.logged


def test_without_dmd_the_real_score_is_not_guided():
    one = stage(weights=StreamWeights(0.0, 0.1, 0.0), real_guidance=3.0)
    counter = Counter(one)
    one.student_loss(prepared(one))
    assert [call[0] for call in counter.calls] == ["S", "R", "F"]


def test_weights_multiply():
    losses = []
    for weights in (StreamWeights(1.0, 1.0, 1.0), StreamWeights(2.0, 0.1, 0.05)):
        one = stage(weights=weights)
        losses.append(one.student_loss(prepared(one)))
    assert losses[1]["dmd"].item() == pytest.approx(2.0 * losses[0]["dmd"].item())
    assert losses[1]["adversarial"].item() == pytest.approx(0.1 * losses[0]["adversarial"].item())
    assert losses[1]["matching"].item() == pytest.approx(0.05 * losses[0]["matching"].item())


def test_what_is_logged():
    one = stage()
    latents = prepared(one)
    one.student_loss(latents)
    names = {f"gradient_at_sample/{name}" for name in ("dmd", "adversarial", "matching")}
    names |= {f"latents/{name}_{figure}" for name in ("student", "real") for figure in ("mean", "std")}
    names |= {f"matching/{score}_{tap}" for score in ("real", "fake") for tap in (0, 1)}
    names |= {"dmd/difference", "gan/gradient_ratio"}
    assert set(one.logged) == names
    assert all(one.logged[name] > 0 for name in names if name.startswith("gradient"))
    norms = {name: one.logged[f"gradient_at_sample/{name}"] for name in ("dmd", "adversarial", "matching")}
    ratio = norms["adversarial"] / (norms["dmd"] + norms["matching"])
    assert one.logged["gan/gradient_ratio"] == pytest.approx(ratio)
    assert one.logged["latents/real_std"] == pytest.approx(latents.clean.std().item())
    latents = prepared(one)
    one.auxiliary_loss(latents)
    assert set(one.logged) == {"gan/realism_margin", "gan/realism_accuracy"}
    assert one.separation["realism"].tolist() == pytest.approx(list(one.logged.values()))


def test_r1_is_a_loss_of_the_head():
    one = stage(r1_weight=0.5)
    losses = one.auxiliary_loss(prepared(one))
    one.zero_grad()
    losses["realism_r1"].backward()
    assert any(p.grad is not None for p in one.head.parameters())
    assert all(p.grad is None for p in one.fake_score.parameters())


class GaussianScore(TinyDenoiser):
    """The exact velocity of clean latents that are normal, with one mean and a deviation of 0.5."""

    def __init__(self, mean):
        super().__init__(8)
        self.mean = mean

    def forward(self, z_t, t, condition, taps=(), stop_early=False):
        t = t.view(-1, 1, 1, 1, 1)
        gain = (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
        clean = self.mean + gain * (z_t - (1 - t) * self.mean)
        return (z_t - clean) / t, []


@pytest.mark.parametrize("mean", [0.5, -0.5])
def test_dmd_moves_samples_from_the_mean_of_the_fake_to_that_of_the_real_score(mean):
    """Between Gaussians of one deviation the direction has the sign of ``mean_F - mean_R`` everywhere."""
    one = stage(None, weights=StreamWeights(1.0, 0.0, 0.0))
    one.real_score, one.fake_score = GaussianScore(mean), GaussianScore(0.0)
    latents = prepared(one)
    before = one.sample(latents).clean.mean().item()
    optimizer = torch.optim.Adam(one.student.denoiser.parameters(), lr=3e-3)
    for _ in range(40):
        latents.random = ClipRandom(2, 0)
        optimizer.zero_grad()
        one.student_loss(latents)["dmd"].backward()
        optimizer.step()
    latents.random = ClipRandom(2, 0)
    after = one.sample(latents).clean.mean().item()
    assert (after - before) * mean > 0.05


def test_contradictions_are_named():
    with pytest.raises(ValueError, match="head: adversarial and matching need one"):
        stage(None)
    with pytest.raises(ValueError, match="head: adversarial and matching need one"):
        stage(weights=StreamWeights(1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"taps: \[0, 2\]; real_score has blocks 0 to 1"):
        stage(taps=(0, 2))
    with pytest.raises(ValueError, match="taps: 1 of them, but the head takes 2"):
        stage(taps=(0,))
    with pytest.raises(ValueError, match=r"weights: .* none below 0"):
        stage(weights=StreamWeights(0.0, 0.0, 0.05))
