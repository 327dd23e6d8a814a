import json

import pytest
import torch
from adc_tiny import TinyDiscriminator
from torch import nn
from torch.utils.data import DataLoader
from training import Clips, distillation, trainer

from adc.data.sources import Real
from adc.interfaces import Discriminator
from adc.ops.clip import shuffled
from adc.ops.gan import discriminator_loss
from adc.stages import Example
from adc.training.callbacks import HeadProbe, StopAfter


class Motion(Discriminator):
    """Hears the changes between frames, and nothing else."""

    domain = "pixel"
    heads = ("consistency",)

    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.ones(()))

    def forward(self, view, condition=None):
        steps = view.diff(dim=1).abs().mean(dim=(2, 3, 4))
        return {"consistency": -self.strength * steps}


class Moving(Clips):
    """Clips of five frames, in which noise moves to the right."""

    def train_dataloader(self):
        noise = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
        clips = torch.stack([noise[..., 4 * t : 4 * t + 64] for t in range(5)], dim=1).cumsum(-1) / 8
        items = [{"lr": clip[..., ::4, ::4], "hr": clip, "name": str(number)} for number, clip in enumerate(clips)]
        return DataLoader(items, batch_size=1)

    val_dataloader = train_dataloader


def stage_of(*critics):
    labels = {head: 1 for critic in critics for head in critic.heads}
    fake = dict.fromkeys(labels, -1)
    stage = distillation(critics=(), roles=None)
    kept = {"student": stage.student, "losses": list(stage.losses), "teacher": stage.teacher, "space": stage.space}
    return type(stage)(
        **kept,
        roles={**stage.roles, "discriminators": next(iter(stage.roles.values()))},
        discriminators=list(critics),
        examples={"student": Example(fake), "real": Example(labels, Real())},
    )


@pytest.fixture
def table(tmp_path):
    torch.manual_seed(0)
    stage = stage_of(TinyDiscriminator("pixel", 3), Motion())
    options = {"limit_val_batches": 2, "num_sanity_val_steps": 0, "check_val_every_n_epoch": None}
    run = trainer(tmp_path, [HeadProbe(), StopAfter("student", 1)], val_check_interval=1, **options)
    run.fit(stage, datamodule=Moving())
    return stage, json.loads((tmp_path / "heads.json").read_text())["pixel"]


def test_a_head_that_hears_motion_minds_the_order_and_one_of_single_frames_the_blur(table):
    _, heads = table
    motion, frames = heads["consistency"], heads["realism"]
    assert motion["shuffled"] > motion["video"] > motion["blurred"]
    assert frames["shuffled"] == pytest.approx(frames["video"], rel=1e-5)
    assert frames["blurred"] != pytest.approx(frames["video"], rel=2e-4)


def test_the_losses_are_those_of_the_discriminators_for_real_clips(table):
    stage, heads = table
    clips = [batch["hr"] for batch in Moving().val_dataloader()]
    critic = stage.discriminators[1]
    expected = [discriminator_loss(critic(clip)["consistency"], 1, "non_saturating").item() for clip in clips]
    assert heads["consistency"]["video"] == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_variants_keep_the_shape_and_a_single_frame_its_place():
    probe = HeadProbe(blur_sigma=1.0)
    clip = torch.rand(2, 5, 3, 16, 12) * 2 - 1
    variants = probe.variants(clip)
    assert {name: variant.shape for name, variant in variants.items()} == dict.fromkeys(variants, clip.shape)
    assert not torch.equal(variants["shuffled"], clip)
    assert torch.equal(variants["shuffled"].sort(dim=1).values, clip.sort(dim=1).values)
    flat = torch.full((1, 3, 3, 16, 16), 0.25)
    torch.testing.assert_close(probe.variants(flat)["blurred"], flat)
    assert torch.equal(probe.variants(clip[:, :1])["shuffled"], clip[:, :1])
    with pytest.raises(ValueError, match="blur_sigma: 0 pixels"):
        HeadProbe(blur_sigma=0)


def test_frames_are_never_in_their_true_order():
    for number in range(50):
        order = shuffled(2, torch.Generator().manual_seed(number))
        assert order.tolist() == [1, 0]
    assert shuffled(1).tolist() == [0]
