"""What the checks share: example inputs, and clauses that hold of any function of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Batch
from adc.ops.modes import evaluating as evaluating

Function = Callable[[Tensor], Tensor]
TOLERANCE = 1e-3
LARGEST_PIXEL = 16.0
SIZES = ((2, 1), (1, 3))


def require(kept: bool, subject: str, clause: str) -> None:
    """Raise `AssertionError` unless a clause is kept."""
    if not kept:
        raise AssertionError(f"{subject}: {clause}")


def require_kind(subject: Any, kind: type) -> str:
    """Check what the subject is; its name."""
    name = type(subject).__name__
    require(isinstance(subject, kind), name, f"must be a subclass of adc.interfaces.{kind.__name__}")
    return name


def example(*shape: int, seed: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Random values in ``[-1, 1]``, the same for the same seed; each clip of a batch brighter than the one before."""
    generator = torch.Generator().manual_seed(seed)
    darkest = torch.linspace(-1, 0, shape[0]).view(-1, *[1] * (len(shape) - 1))
    return (darkest + (1 - darkest) * torch.rand(*shape, generator=generator)).to(device)


def example_batch(clips: int, frames: int, size: int, scale: int, device: torch.device, seed: int = 0) -> Batch:
    """A batch as the data modules make it."""
    return {
        "lr": example(clips, frames, 3, size, size, seed=seed, device=device),
        "hr": example(clips, frames, 3, size * scale, size * scale, seed=seed + 100, device=device),
        "stills": example(clips, frames, 3, size * scale, size * scale, seed=seed + 200, device=device),
        "name": [f"clip{index}" for index in range(clips)],
    }


def device_of(module: nn.Module) -> torch.device:
    """Where a module lives; the CPU if it holds nothing."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def first_width(module: nn.Module) -> int:
    """Channels that the first convolution or linear layer takes.

    Raises:
        ValueError: If there is none.
    """
    for layer in module.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            return layer.in_channels
        if isinstance(layer, nn.Linear):
            return layer.in_features
    raise ValueError(f"{type(module).__name__}: cannot tell how many channels it takes; pass channels=.")


def check_clip(subject: str, clip: Any, shape: Sequence[int | None], like: Tensor) -> None:
    """A tensor of this shape (None is any positive size): floating, finite, on the input's device."""
    sides = ["any" if side is None else str(side) for side in shape]
    written = f"({sides[0]},)" if len(sides) == 1 else f"({', '.join(sides)})"
    require(isinstance(clip, Tensor), subject, f"must return a tensor; got {type(clip).__name__}")
    fits = clip.ndim == len(shape) and all(
        found == side if side is not None else found > 0 for found, side in zip(clip.shape, shape, strict=True)
    )
    require(
        fits, subject, f"the result's shape must be {written} for an input {tuple(like.shape)}; got {tuple(clip.shape)}"
    )
    require(clip.is_floating_point(), subject, f"the result must be floating point; got {clip.dtype}")
    require(
        clip.device == like.device,
        subject,
        f"the result must lie on the input's device {like.device}; got {clip.device}",
    )
    require(bool(clip.isfinite().all()), subject, "the result must be finite")


def check_pixels(subject: str, clip: Tensor) -> None:
    """About ``[-1, 1]``."""
    largest = clip.abs().max().item()
    require(
        largest <= LARGEST_PIXEL,
        subject,
        f"pixels must be about [-1, 1]; the largest is {largest:.4g} (bytes instead?)",
    )


def check_input_gradient(subject: str, function: Function, source: Tensor, what: str) -> None:
    """The gradient reaches the input."""
    source = source.detach().clone().requires_grad_(True)
    check_gradient(subject, lambda: function(source), [source], what)


def check_gradient(subject: str, function: Callable[[], Tensor], sources: Sequence[Tensor], what: str) -> None:
    """The gradient reaches some of the sources, parameters for example."""
    with torch.enable_grad():
        result = function()
        require(
            result.requires_grad, subject, f"the result must carry gradients to {what} (detached, or under no_grad?)"
        )
        gradients = torch.autograd.grad(result.square().mean(), sources, allow_unused=True)
    reached = [gradient for gradient in gradients if gradient is not None]
    require(bool(reached), subject, f"gradients must reach {what}; none does")
    require(all(bool(g.isfinite().all()) for g in reached), subject, f"the gradient of {what} must be finite")
    require(any(bool(g.any()) for g in reached), subject, f"the gradient of {what} must not be zero")


def require_refused(subject: str, work: Callable[[], Any], what: str) -> None:
    """Raise `AssertionError` unless a call raises a `ValueError`."""
    try:
        work()
    except ValueError:
        return
    raise AssertionError(f"{subject}: must refuse {what} with a ValueError")


def check_steady(subject: str, function: Function, source: Tensor) -> None:
    """The same result twice, whatever the random state; and the input as it was."""
    before = source.clone()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = function(source)
        torch.manual_seed(2)
        second = function(source)
    require(torch.equal(source, before), subject, "must leave its input unchanged")
    require(
        close(first, second),
        subject,
        "in evaluation mode the same input must give the same result (random, or a state?)",
    )


def check_separate(subject: str, function: Function, sources: Tensor) -> None:
    """Clips of a batch do not influence each other in evaluation mode."""
    with torch.no_grad():
        together = function(sources)
        alone = torch.cat([function(source[None]) for source in sources])
    require(
        together.shape == alone.shape and close(together, alone),
        subject,
        "in evaluation mode a clip's result must not depend on the other clips of its batch",
    )


def close(a: Tensor, b: Tensor) -> bool:
    """Equal, but for the order of sums."""
    return torch.allclose(a.float(), b.float(), atol=TOLERANCE, rtol=TOLERANCE)
