"""AdcSR's second stage on seeded weights of the published sizes: what its golden files hold, by our code."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _seeded import seeded, seeded_like
from adc_sd21 import AdcSRStudent, DecoderStem, OSEDiff, SDAutoencoder, UNetDiscriminator, convert, networks, published
from adc_sd21.autoencoder import KLAutoencoder
from adc_sd21.folder import load
from torch import Generator, Tensor, nn

from adc.data import Real
from adc.interfaces import FeatureSpace, Prompt, Teacher
from adc.losses import L1
from adc.ops.color import adain
from adc.pruning import load_student
from adc.stages import AdversarialDistillation, Example
from adc.training import Role

ABSOLUTE, RELATIVE = "largest difference", "relative difference"
TOLERANCES = {
    "student_features": (ABSOLUTE, 1e-4),
    "student_pixels": (ABSOLUTE, 1e-4),
    "student_pixels_color_matched": (ABSOLUTE, 1e-4),
    "teacher_latent": (RELATIVE, 1e-3),
    "teacher_pixels": (RELATIVE, 1e-3),
    "teacher_features": (RELATIVE, 1e-3),
    "truth_features": (RELATIVE, 1e-3),
    "logits_fake": (RELATIVE, 1e-3),
    "logits_real": (RELATIVE, 1e-3),
    "L_distil": (RELATIVE, 1e-4),
    "L_adv": (RELATIVE, 1e-4),
    "L_D": (RELATIVE, 1e-4),
    "trainable_discriminator": (ABSOLUTE, 0.0),
    "alpha_999": (RELATIVE, 1e-5),
    "gradient": (RELATIVE, 1e-3),
}


def tolerances(facts: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """How far each figure may be off, by the first word of its name."""
    return TOLERANCES


class Answered(Teacher):
    """A teacher whose answer is there already; the network that gave it need not stay in memory."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.answer = features

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Not asked for."""
        raise NotImplementedError

    def features(self, lr: Tensor, space: FeatureSpace) -> Tensor:
        """The answer."""
        return self.answer


class Given(Prompt):
    """Embeddings that are there already."""

    def __init__(self, embedding: Tensor) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """The same for every clip."""
        return self.embedding.expand(len(batch["lr"]), -1, -1)


def computed(golden: dict[str, Tensor], facts: dict[str, Any], home: Path, say: Any) -> Iterator[tuple[str, Any]]:
    """Everything that a golden file holds, name by name, computed on seeded weights that went through the converters.

    Args:
        golden: The file's tensors; its inputs are used.
        facts: Its JSON; the gradients that it lists are computed.
        home: An empty folder for the weights; 8 GB.
        say: Called with a line of progress.
    """
    lr, hr = (golden[name][:, None] * 2 - 1 for name in ("lr", "hr"))
    say("student: seeded, written as published, converted, read")
    student = _student(home)
    with torch.no_grad():
        feature = student.encode(lr)
        yield "student_features", feature
        yield "student_pixels", student.restore(lr)
        yield "student_pixels_color_matched", adain(student.restore(lr), lr, eps=0.0)
    say("teacher: seeded, written as published, converted, read")
    teacher = _teacher(home)
    yield "alpha_999", teacher.alpha
    with torch.no_grad():
        yield "teacher_latent", teacher.latent(lr, golden["prompt"])
        yield "teacher_pixels", teacher.restore(lr, prompt=golden["prompt"])
    say("codec and discriminator: seeded")
    space = _space(student)
    with torch.no_grad():
        features = teacher.features(lr, space, golden["prompt"])
    yield "teacher_features", features
    del teacher
    stage = _stage(student, features, space, golden["prompt"])
    yield "trainable_discriminator", sum(p.numel() for p in stage.parameters_of("discriminators"))
    yield from _stage_figures(stage, {"lr": lr, "hr": hr}, facts, say)


def _stage_figures(
    stage: AdversarialDistillation, batch: dict[str, Any], facts: dict[str, Any], say: Any
) -> Iterator[tuple[str, Any]]:
    stage.train()
    stage.active_phases = ("student", "discriminators")
    started = time.perf_counter()
    views = stage.prepare(batch)
    losses = stage.student_loss(views)
    sum(losses.values(), torch.zeros(())).backward()
    say(f"student's half of the step: {time.perf_counter() - started:.1f} s")
    yield "truth_features", views.target("real", "feature")
    yield "L_distil", losses["L1_feature_teacher"]
    yield "L_adv", losses["adv_feature_realism"]
    ours = dict(stage.student.named_parameters())
    for name in facts["student_grad_norms"]:
        yield f"gradient {name}", _norm(ours[_our_student_name(name)])
    for parameter in stage.discriminators.parameters():  # type: ignore[attr-defined]
        parameter.grad = None
    losses = stage.discriminators_loss(views)
    sum(losses.values(), torch.zeros(())).backward()
    yield "L_D", sum(losses.values(), torch.zeros(()))
    discriminator: Any = stage.discriminators[0]
    theirs = {_their_discriminator_name(name): parameter for name, parameter in discriminator.unet.named_parameters()}
    for name in facts["discriminator_grad_norms"]:
        yield f"gradient {name}", _norm(theirs[name])
    with torch.no_grad():
        yield "logits_fake", views.logits(discriminator, views.prediction("feature").detach())["realism"]
        yield "logits_real", views.logits(discriminator, views.target("real", "feature"))["realism"]


def _norm(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.norm()


def _student(home: Path) -> AdcSRStudent:
    with torch.device("meta"):
        shapes = AdcSRStudent(vae=published.STUDENT_VAE, unet=published.STUDENT_UNET).state_dict()
    net: dict[str, Tensor] = {}
    for name, tensor in shapes.items():
        if not name.startswith("decoder."):
            theirs = re.sub("^unet", "body.1", re.sub("^mid_block", "body.2", name))
            net[f"module.{theirs}"] = seeded(theirs, tensor.shape)
    twice = {path: index for index, path in published.ALIASES.items()}
    for path, index in twice.items():
        start = f"module.body.1.{path}."
        for name in [name for name in net if name.startswith(start)]:
            net[f"module.body.1.body.{index}.{name.removeprefix(start)}"] = net[name]
    half = {name: seeded(name, tensor.shape) for name, tensor in shapes.items() if name.startswith("decoder.")}
    torch.save(net, home / "net_params_200.pkl")
    torch.save({"state_dict": half, "global_step": 1}, home / "halfDecoder.ckpt")
    convert.adcsr(str(home / "net_params_200.pkl"), str(home / "halfDecoder.ckpt"), str(home / "student"))
    for name in ("net_params_200.pkl", "halfDecoder.ckpt"):
        (home / name).unlink()
    student = load_student(str(home / "student"))
    assert isinstance(student, AdcSRStudent)
    return student


def _teacher(home: Path) -> OSEDiff:
    with torch.device("meta"):
        vae, unet = KLAutoencoder(networks.SD_VAE).state_dict(), networks.unet(networks.SD_UNET).state_dict()
    parts = {"vae": seeded_like(vae, "teacher.vae."), "unet": seeded_like(unet, "teacher.unet.")}
    torch.save(parts, home / "osediff.pkl")
    del parts
    convert.osediff(str(home / "osediff.pkl"), str(home / "teacher"))
    (home / "osediff.pkl").unlink()
    return OSEDiff(str(home / "teacher")).eval()


def _space(student: AdcSRStudent) -> DecoderStem:
    autoencoder = SDAutoencoder()
    load(autoencoder.vae, seeded_like(autoencoder.vae.state_dict(), "sd.vae."), "seeded")
    return DecoderStem(student, autoencoder)


@torch.no_grad()
def _discriminator() -> UNetDiscriminator:
    discriminator = UNetDiscriminator(channels=256)
    for name, tensor in discriminator.unet.state_dict().items():
        tensor.copy_(seeded(f"D.{_their_discriminator_name(name)}", tensor.shape))
    return discriminator


def _stage(student: AdcSRStudent, features: Tensor, space: DecoderStem, prompt: Tensor) -> AdversarialDistillation:
    optimizer: Any = lambda parameters: torch.optim.Adam(parameters)  # noqa: E731
    stage = AdversarialDistillation(
        student=student,
        losses=[L1(domain="feature", against="teacher")],
        roles={"student": Role(optimizer), "discriminators": Role(optimizer)},
        teacher=Answered(features),
        space=space,
        prompt=Given(prompt),
        discriminators=[_discriminator()],
        examples={"student": Example({"realism": -1}), "real": Example({"realism": 1}, Real())},
        frozen=["decoder"],
    )
    stage.setup("fit")
    for parameter in stage.parameters():  # channels last is quicker, but its group normalisation is 30 times less exact
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return stage


def _our_student_name(name: str) -> str:
    return re.sub(r"^body\.2\.", "mid_block.", re.sub(r"^body\.1\.", "unet.", name))


def _their_discriminator_name(name: str) -> str:
    """AdcSR keeps the adapters of the two halves of the UNet and of its middle under three names."""
    part = {"down": "encoder", "conv_in": "encoder", "up": "decoder", "conv_out": "decoder"}
    adapter = next((theirs for start, theirs in part.items() if name.startswith(start)), "others")
    return name.replace(".default.", f".default_{adapter}.")
