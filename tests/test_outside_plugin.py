"""A plugin outside the project: a metric, a head on score features, an autoencoder with temporal stride, a stage."""

import json
import os
import subprocess
import sys

import pytest

PLUGIN = '''
import torch
from adc_tiny import TinyAutoencoder
from torch import nn

from adc.interfaces import Autoencoder, Denoiser, Metric, Restorer, ScoreDiscriminator, Student
from adc.ops import gan
from adc.ops.clip import per_frame, upsample_bicubic
from adc.training import Phase, Role, Stage


class RootMeanSquare(Metric):
    """The root of the mean square difference of two clips."""

    name = "rmse"

    def __call__(self, restored, reference):
        return (restored - reference).square().flatten(1).mean(dim=1).sqrt()


class PairAutoencoder(Autoencoder):
    """A latent of the first frame, and one of every two frames after it."""

    strides = (2, 4)

    def __init__(self):
        super().__init__()
        self.images = TinyAutoencoder()

    def encode(self, pixels):
        self.latent_frames(pixels.shape[1])
        latents = self.images.encode(pixels)
        return torch.cat([latents[:, :1], (latents[:, 1::2] + latents[:, 2::2]) / 2], dim=1)

    def decode(self, latent):
        return self.images.decode(torch.cat([latent[:, :1], latent[:, 1:].repeat_interleave(2, 1)], dim=1))


class DifferenceHead(ScoreDiscriminator):
    """The difference of two score networks' features, after a convolution each."""

    heads = ("realism",)
    taps = 1

    def __init__(self, real: int = 8, fake: int = 12) -> None:
        super().__init__()
        self.widths = {"real": real, "fake": fake}
        self.real, self.fake = nn.Conv2d(real, 4, 1), nn.Conv2d(fake, 4, 1)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(self, features, t):
        difference = per_frame(self.real, features["real"][0]) - per_frame(self.fake, features["fake"][0])
        return {"realism": per_frame(self.out, torch.tanh(difference))}


class ScoreHeadTraining(Stage):
    """A head on two frozen score networks, trained on latents of HR clips against those of enlarged LR clips."""

    frozen = excluded_from_checkpoint = ("student", "autoencoder", "real", "fake")

    def __init__(
        self,
        student: Student,
        autoencoder: Autoencoder,
        real: Denoiser,
        fake: Denoiser,
        discriminator: ScoreDiscriminator,
        metric: Metric,
        roles: dict[str, Role],
    ) -> None:
        super().__init__(roles, [["discriminator"]])
        self.student, self.autoencoder, self.real, self.fake = student, autoencoder, real, fake
        self.discriminator, self.metric = discriminator, metric

    def phases(self):
        return {"discriminator": Phase(self.discriminator_loss, ("discriminator",))}

    @property
    def restorer(self) -> Restorer:
        return self.student

    def prepare(self, batch):
        large = upsample_bicubic(batch["lr"], self.student.scale)
        self.log("rmse", self.metric(large, batch["hr"]).mean())
        clean = self.autoencoder.encode(large)
        assert clean.shape[1] == self.autoencoder.latent_frames(batch["hr"].shape[1])
        t = torch.full((len(large),), 0.5)
        condition = {"lr": clean, "text": torch.ones(len(large), 4)}

        def features(latent):
            return {name: getattr(self, name)(latent, t, condition, (0,))[1] for name in ("real", "fake")}

        return {1: features(self.autoencoder.encode(batch["hr"])), -1: features(clean), "t": t}

    def discriminator_loss(self, views):
        return {
            str(label): gan.discriminator_loss(self.discriminator(views[label], views["t"])["realism"], label, "hinge")
            for label in (1, -1)
        }
'''

CHECKS = """
import outside
from adc import testing

testing.check_metric(outside.RootMeanSquare())
testing.check_autoencoder(outside.PairAutoencoder())
testing.check_score_discriminator(outside.DifferenceHead())
"""

RECIPE = """
seed_everything: 0
data:
  class_path: DegradedClips
  init_args:
    {frames: FRAMES, size: 32, batch_size: 2, degradation: BicubicDown, camera: Camera, workers: 0}
model:
  class_path: ScoreHeadTraining
  init_args:
    student: TinyStudent
    autoencoder: PairAutoencoder
    real: {class_path: TinyDenoiser, init_args: {width: 8}}
    fake: {class_path: TinyDenoiser, init_args: {width: 12}}
    discriminator: {class_path: DifferenceHead, init_args: {real: 8, fake: 12}}
    metric: RootMeanSquare
    roles:
      discriminator: {optimizer: {class_path: Adam, init_args: {lr: 1.0e-3}}}
trainer:
  accelerator: cpu
  default_root_dir: run
  limit_val_batches: 0
  log_every_n_steps: 1
  callbacks:
    - {class_path: StopAfter, init_args: {role: discriminator, updates: 3}}
    - {class_path: Export}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("outside")
    (home / "plugins").mkdir()
    (home / "plugins" / "outside.py").write_text(PLUGIN)
    for frames in (4, 5):
        (home / f"{frames}.yaml").write_text(RECIPE.replace("FRAMES", str(frames)))
    return home


def run(home, *arguments):
    path = os.pathsep.join([str(home / "plugins"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "ADC_PLUGIN_PATH": str(home / "plugins")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True, timeout=300
    )


def test_its_components_keep_their_contracts(home):
    done = run(home, "-c", CHECKS)
    assert done.returncode == 0, done.stderr


def test_a_recipe_names_them(home):
    done = run(home, "-m", "adc", "fit", "-c", "5.yaml")
    assert done.returncode == 0, done.stderr
    assert json.loads((home / "run" / "finished.json").read_text())["updates"] == {"discriminator": 3}
    assert "rmse" in done.stdout + done.stderr


def test_a_length_that_its_autoencoder_does_not_take_is_one_line(home):
    done = run(home, "-m", "adc", "fit", "-c", "4.yaml", "--trainer.default_root_dir", "other")
    assert done.returncode
    assert "frames: PairAutoencoder takes 1 + 2 n frames, not 4; cut or pad the clip to 3 or 5." in done.stderr
    assert "Traceback" not in done.stderr
