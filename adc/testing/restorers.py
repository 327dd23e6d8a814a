"""Contracts of `Restorer`, `Teacher` and `Student`."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Autoencoder, FeatureSpace, LatentStudent, Prunable, Restorer, Student, Teacher
from adc.ops.clip import per_frame
from adc.testing import probe
from adc.testing.probe import require

ODD = (17, 19)


def check_restorer(restorer: Restorer, size: int = 16) -> None:
    """Verify the text of `Restorer`.

    Args:
        restorer: What is checked.
        size: Side of the square example clips, at least 16; another, odd size is tried too.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(restorer, Restorer)
    scale = restorer.scale
    require(
        isinstance(scale, int) and scale >= 1, f"{name}.scale", f"must be a whole number of at least 1; got {scale!r}"
    )
    for key, least in (("temporal_context", 0), ("temporal_stride", 1), ("multiple", 1)):
        value = getattr(restorer, key)
        fits = isinstance(value, int) and value >= least
        require(fits, f"{name}.{key}", f"must be a whole number of at least {least}; got {value!r}")
    with probe.evaluating(restorer):
        _check_restore(f"{name}.restore", restorer, size)
        lr = probe.example(1, 1, 3, size, size, device=probe.device_of(restorer))
        with torch.no_grad():
            same = probe.close(restorer(lr), restorer.restore(lr))
            tiles = probe.close(restorer.restore_tiles(lr, [(0, 0)]), restorer.restore(lr))
        require(same, f"{name}.forward", "must be the same as restore")
        require(tiles, f"{name}.restore_tiles", "must be the same as restore for a tile at (0, 0)")
        _check_candidates(f"{name}.restore", restorer, lr)


def _check_candidates(subject: str, restorer: Restorer, lr: Tensor) -> None:
    takes = "generator" in signature(restorer.restore).parameters
    require(takes, subject, "must take a generator, restore(lr, generator=None), even if it draws nothing")

    def candidate(seed: int) -> Tensor:
        with torch.no_grad():
            return restorer.restore(lr, torch.Generator(lr.device).manual_seed(seed))

    require(probe.close(candidate(1), candidate(1)), subject, "the same state of the generator must give the same clip")
    if not probe.close(candidate(1), restorer.restore(lr)):
        require(not probe.close(candidate(1), candidate(2)), subject, "another state must give another candidate")


def _check_restore(subject: str, restorer: Restorer, size: int) -> None:
    device, scale = probe.device_of(restorer), restorer.scale
    for clips, frames, height, width in [(c, t, size, size) for c, t in probe.SIZES] + [(1, 1, *ODD)]:
        lr = probe.example(clips, frames, 3, height, width, device=device)
        with torch.no_grad():
            hr = restorer.restore(lr)
        probe.check_clip(subject, hr, (clips, frames, 3, scale * height, scale * width), lr)
        probe.check_pixels(subject, hr)
    lr = probe.example(2, 1, 3, size, size, device=device)
    probe.check_steady(subject, restorer.restore, lr)
    probe.check_separate(subject, restorer.restore, lr)
    probe.check_input_gradient(subject, restorer.restore, lr, "the input")
    trainable = [parameter for parameter in restorer.parameters() if parameter.requires_grad]
    if trainable:
        probe.check_gradient(subject, lambda: restorer.restore(lr), trainable, "the parameters")


def check_teacher(
    teacher: Teacher, space: FeatureSpace | None = None, student: Student | None = None, size: int = 16
) -> None:
    """Verify the text of `Teacher`, and of `Restorer`.

    Args:
        teacher: What is checked.
        space: The space of `Teacher.features`; null takes a stand-in.
        student: A student whose features those must fit in shape; null leaves that out.
        size: Side of the square example clips.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(teacher, Teacher)
    check_restorer(teacher, size)
    subject = f"{name}.features"
    chosen = (space if space is not None else _StandIn()).to(probe.device_of(teacher))
    with probe.evaluating(teacher), probe.evaluating(chosen), torch.no_grad():
        for clips, frames in probe.SIZES:
            lr = probe.example(clips, frames, 3, size, size, device=probe.device_of(teacher))
            feature = teacher.features(lr, chosen)
            probe.check_clip(subject, feature, (clips, frames, None, None, None), lr)
            if student is not None:
                with probe.evaluating(student):
                    expected = tuple(student.encode(lr).shape)
                probe.check_clip(f"{subject} (shaped like {type(student).__name__}.encode)", feature, expected, lr)
        probe.check_steady(subject, lambda x: teacher.features(x, chosen), lr)
        both = teacher.restore_with_features(lr, chosen)
        for what, view, alone in zip(("pixels", "features"), both, (teacher.restore(lr), feature), strict=True):
            probe.require(
                view.shape == alone.shape and probe.close(view, alone),
                f"{name}.restore_with_features",
                f"must return the same {what} as the method that makes them alone",
            )


def check_student(
    student: Student, space: FeatureSpace | None = None, autoencoder: Autoencoder | None = None, size: int = 16
) -> None:
    """Verify the text of `Student`, of `Restorer`, and of `Prunable` if the student can be pruned.

    Args:
        student: What is checked.
        space: The space it is trained in; its features must have the student's shape. Null leaves that out.
        autoencoder: The autoencoder whose latents a `LatentStudent` decodes; null leaves that out.
        size: Side of the square example clips, a multiple of the student's strides.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(student, Student)
    check_restorer(student, size)
    with probe.evaluating(student):
        for clips, frames in probe.SIZES:
            _check_halves(
                name, student, space, probe.example(clips, frames, 3, size, size, device=probe.device_of(student))
            )
        if autoencoder is not None:
            probe.require_kind(student, LatentStudent)
            _check_decode_latents(name, student, autoencoder, size)
        _check_prunable(name, student)


def _check_halves(name: str, student: Student, space: FeatureSpace | None, lr: Tensor) -> None:
    clips, frames, scale = *lr.shape[:2], student.scale
    stride = student.temporal_stride
    padded = frames + -(frames - 1) % stride
    decode = _with_lr(student, student.decode, lr)
    with torch.no_grad():
        feature = student.encode(lr)
        probe.check_clip(f"{name}.encode", feature, (clips, frames if stride == 1 else None, None, None, None), lr)
        hr = decode(feature)
        probe.check_clip(f"{name}.decode", hr, (clips, padded, 3, scale * lr.shape[-2], scale * lr.shape[-1]), feature)
        whole = student.restore(lr)
        require(probe.close(hr[:, :frames], whole), f"{name}.restore", "must be decode(encode(lr)) without its padding")
        if space is not None:
            embedded = space.embed(whole)
            subject = f"{name}.encode (shaped like {type(space).__name__}.embed)"
            probe.check_clip(subject, feature, tuple(embedded.shape), lr)
    trainable = [parameter for parameter in student.parameters() if parameter.requires_grad]
    require(bool(trainable), name, "must have parameters to train; none requires gradients")
    probe.check_gradient(f"{name}.encode", lambda: student.encode(lr), trainable, "the parameters")
    probe.check_input_gradient(f"{name}.decode", decode, feature, "the feature")


def _with_lr(student: Student, function: Any, lr: Tensor) -> Any:
    """`Student.decode` or `LatentStudent.decode_latents`, given the LR clip if the decoder sees it."""
    return partial(function, lr=lr) if student.decoder_sees_lr else function


def _check_decode_latents(name: str, student: Any, autoencoder: Autoencoder, size: int) -> None:
    subject = f"{name}.decode_latents"
    side = size * student.scale
    device = probe.device_of(student)
    pixels = probe.example(2, 1, 3, side, side, device=device)
    decode = _with_lr(student, student.decode_latents, probe.example(2, 1, 3, size, size, device=device))
    with torch.no_grad(), probe.evaluating(autoencoder):
        projected = autoencoder.to_decoder_input(autoencoder.encode(pixels))
        probe.check_clip(subject, decode(projected), tuple(pixels.shape), projected)
    require(isinstance(getattr(student, "decoder", None), nn.Module), f"{name}.decoder", "must be a module")
    parameters = [parameter for parameter in student.decoder.parameters() if parameter.requires_grad]
    probe.check_gradient(subject, lambda: decode(projected), parameters, "the parameters of decoder")


def _check_prunable(name: str, student: Student) -> None:
    try:
        plan = student.prunable()
    except NotImplementedError:
        return
    subject = f"{name}.prunable"
    require(isinstance(plan, Prunable), subject, f"must return a Prunable; got {type(plan).__name__}")
    arguments = plan.example
    require(
        isinstance(arguments, tuple) and all(isinstance(argument, Tensor) for argument in arguments),
        f"{subject}.example",
        "must be a tuple of tensors, the arguments of network",
    )
    image = arguments[0]
    require(
        image.ndim == 4 and image.shape[1] == 3,
        f"{subject}.example",
        f"must begin with an image (B, 3, h, w); got {tuple(image.shape)}",
    )
    with torch.no_grad():
        found = plan.network(*arguments)
    results = found if isinstance(found, tuple) else (found,)
    tensors = all(isinstance(result, Tensor) and len(result) == len(image) for result in results)
    require(tensors, f"{subject}.network", f"must return pixels or features of {len(image)} images")
    if results[0].ndim == image.ndim:
        sides = (student.scale * image.shape[2], student.scale * image.shape[3])
        probe.check_clip(f"{subject}.network", results[0], (len(image), 3, *sides), image)
    inside = set(plan.network.modules())
    for part, module in plan.parts.items():
        inner = [layer for layer in module.modules() if any(True for _ in layer.parameters(recurse=False))]
        require(all(layer in inside for layer in inner), f"{subject}.parts", f"{part!r} must be a part of network")
    require(all(layer in inside for layer in plan.ignored), f"{subject}.ignored", "must hold layers of network")
    own = {id(parameter) for parameter in student.parameters()}
    shared = all(id(parameter) in own for parameter in plan.network.parameters())
    require(shared, f"{subject}.network", "must be made of the student's own layers, so that pruning reaches them")


class _StandIn(FeatureSpace):
    """Averages of 4x4 pixels; latents as they are."""

    def embed(self, pixels: Tensor) -> Tensor:
        return per_frame(lambda x: nn.functional.avg_pool2d(x, 4), pixels)

    def project_latents(self, projected: Tensor) -> Tensor:
        return projected
