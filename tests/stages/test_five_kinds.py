"""AdcVSR's table of examples: five kinds of clips, two heads, two domains (reference section 5.8)."""

from functools import partial

import pytest
import torch
from adc_sd21 import DecoderStem, SDAutoencoder
from adc_tiny import Bicubic
from adc_video import AdcVSRStudent, AutoencoderBackbone, ClipDiscriminator, StudentUNetBackbone
from training import trainer

from adc.data.sources import Real, ShuffledFrames, Slideshow, StillImage
from adc.losses import L1
from adc.ops.gan import discriminator_loss, generator_loss
from adc.stages import AdversarialDistillation, Example
from adc.training import Role

VAE = {"block_out_channels": [8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
}
TABLE = {
    "student": (None, -1, -1),
    "video": (Real(), 0, 1),
    "shuffled": (ShuffledFrames(), 0, -1),
    "still": (StillImage(), 1, 1),
    "slideshow": (Slideshow(), 1, -1),
}
DOMAINS, HEADS = ("pixel", "feature"), ("detail", "consistency")
WEIGHTS = {"pixel": 0.1, "feature": 1.0}
FRAMES = 3


def batch():
    generator = torch.Generator().manual_seed(1)

    def clip(side):
        return torch.rand(1, FRAMES, 3, side, side, generator=generator) * 2 - 1

    return {"lr": clip(16), "hr": clip(64), "stills": clip(64), "name": ["clip"]}


def student():
    return AdcVSRStudent(vae=VAE, unet=UNET, unshuffle=1)


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    autoencoder, adam = SDAutoencoder(config=VAE), partial(torch.optim.Adam, lr=1e-3)
    pupil, shares = student(), {"detail": 4, "consistency": 2}
    made = AdversarialDistillation(
        student=pupil,
        teacher=Bicubic(),
        space=DecoderStem(pupil, autoencoder),
        losses=[L1("feature", "teacher", 1.0), L1("pixel", "teacher", 0.1)],
        discriminators=[
            ClipDiscriminator(AutoencoderBackbone(autoencoder, level=1), shares),
            ClipDiscriminator(StudentUNetBackbone(student()), shares),
        ],
        examples={
            kind: Example({"detail": detail, "consistency": consistency}, source)
            for kind, (source, detail, consistency) in TABLE.items()
        },
        adversarial_weight=WEIGHTS,
        roles={"student": Role(adam), "discriminators": Role(adam)},
    )
    made.setup("fit")
    return made


@pytest.fixture
def views(stage):
    torch.manual_seed(2)  # the order of the shuffled frames
    stage.active_phases = ("student", "discriminators")
    return stage.prepare(batch())


def own_parameters(critic, head):
    """Those that no other head depends on: the share of the trunk's last layer, and the judge."""
    shares = list(critic.shares.values())
    start = 0 if head == "detail" else shares[0]
    rows = slice(start, start + critic.shares[head])
    return [critic.time[-1].weight, *critic.judges[head].parameters()], rows


def gradients(loss, critic, head):
    """The gradient of each of a head's own parameters; None where it does not depend on them."""
    parameters, rows = own_parameters(critic, head)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return [None if gradient is None else gradient[rows] if gradient.ndim == 3 else gradient for gradient in found]


def test_the_terms_are_those_of_the_table(stage, views):
    losses = stage.discriminators_loss(views)
    expected = {
        f"{domain}_{head}_{kind}"
        for domain in DOMAINS
        for kind, (_, *labels) in TABLE.items()
        for head, label in zip(HEADS, labels, strict=True)
        if label
    }
    assert set(losses) == expected and len(expected) == 16
    clips = {"student": None, "video": batch()["hr"], "still": batch()["stills"][:, :1].expand(-1, FRAMES, -1, -1, -1)}
    for critic in stage.discriminators:
        for kind, clip in clips.items():
            if clip is None:
                shown = views.prediction(critic.domain).detach()
            else:
                shown = clip if critic.domain == "pixel" else stage.space.embed(clip)
            for head, label in zip(HEADS, TABLE[kind][1:], strict=True):
                if label:
                    value = discriminator_loss(critic(shown)[head], label, "non_saturating").item()
                    assert losses[f"{critic.domain}_{head}_{kind}"].item() == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("kind", TABLE)
def test_a_head_hears_only_of_kinds_that_have_a_label_for_it(stage, views, kind):
    losses = stage.discriminators_loss(views)
    for critic in stage.discriminators:
        terms = [loss for name, loss in losses.items() if name.startswith(critic.domain) and name.endswith(f"_{kind}")]
        for head, label in zip(HEADS, TABLE[kind][1:], strict=True):
            found = gradients(sum(terms), critic, head)
            if label:
                assert all(gradient is not None and gradient.any() for gradient in found)
            else:
                assert all(gradient is None or not gradient.any() for gradient in found)


def test_without_a_label_a_clip_leaves_no_trace(stage, views):
    """The gradient of all terms is that of the labelled ones, by hand; video and shuffled add none to detail."""
    critic = stage.discriminators[0]
    losses = stage.discriminators_loss(views)
    whole = gradients(sum(loss for name, loss in losses.items() if name.startswith("pixel")), critic, "detail")
    by_hand = sum(
        discriminator_loss(critic(shown)["detail"], label, "non_saturating")
        for shown, label in (
            (views.prediction("pixel").detach(), -1),
            (StillImage()(batch()), 1),
            (Slideshow()(batch()), 1),
        )
    )
    for found, expected in zip(whole, gradients(by_hand, critic, "detail"), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-4)


def test_the_student_persuades_both_heads_in_both_domains(stage, views):
    losses = stage.student_loss(views)
    for critic in stage.discriminators:
        for head, logits in critic(views.prediction(critic.domain)).items():
            expected = WEIGHTS[critic.domain] * generator_loss(logits, "non_saturating")
            assert losses[f"adv_{critic.domain}_{head}"].item() == pytest.approx(expected.item(), rel=1e-5)
            gradient = torch.autograd.grad(
                losses[f"adv_{critic.domain}_{head}"],
                stage.student.temporal.blocks["mid_block_resnets_1"].second.weight,
                retain_graph=True,
            )
            assert gradient[0].any()


def test_it_trains_and_keeps_what_is_frozen(stage, tmp_path):
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    run = trainer(tmp_path, max_steps=-1, max_epochs=1, enable_checkpointing=True)
    run.fit(stage, torch.utils.data.DataLoader([batch()], batch_size=None))
    moved = {name for name, tensor in stage.state_dict().items() if not torch.equal(tensor, before[name])}
    backbones = {name for name in moved if ".backbone." in name}
    assert backbones == {f"discriminators.1.backbone.unet.conv_in.{kind}" for kind in ("weight", "bias")}
    for part in ("student.temporal.", "discriminators.0.judges.detail", "discriminators.1.judges.consistency"):
        assert any(name.startswith(part) for name in moved)
    run.save_checkpoint(tmp_path / "run.ckpt")
    held = torch.load(tmp_path / "run.ckpt", weights_only=True)["state_dict"]
    assert {name for name in held if ".backbone." in name} == backbones
