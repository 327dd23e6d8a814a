"""What changes from one frame of a clip to the next."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

LINES = 96


def flicker(restored: Tensor, reference: Tensor) -> Tensor:
    """How far the steps of a clip are from those of the reference, ``mean |(r_t+1 - r_t) - (y_t+1 - y_t)|``.

    It is the step of the error ``r - y``: an error that stays where it is does not flicker.

    Args:
        restored: ``(B, T, C, H, W)``.
        reference: The same shape.

    Returns:
        ``(B,)``, in units of the pixels.

    Raises:
        ValueError: If there is one frame.
    """
    if restored.shape[1] < 2:
        raise ValueError("figures of motion need at least two frames.")
    return (restored.diff(dim=1) - reference.diff(dim=1)).abs().mean(dim=(1, 2, 3, 4))


def unsteadiness(clip: Tensor) -> Tensor:
    """How much frames stand out between their neighbours, ``mean |x_t-1 - 2 x_t + x_t+1| / 4``; no reference.

    What stays or changes at a steady rate counts 0, pixels that alternate between ``-a`` and ``a`` count ``a``.
    Detail that moves counts as well, so that only clips of one scene compare, and blur lowers it.

    Args:
        clip: ``(B, T, C, H, W)``.

    Returns:
        ``(B,)``, in units of the pixels.

    Raises:
        ValueError: If there are fewer than three frames.
    """
    if clip.shape[1] < 3:
        raise ValueError("unsteadiness needs at least three frames.")
    return clip.diff(n=2, dim=1).abs().mean(dim=(1, 2, 3, 4)) / 4


def profiles(clips: Sequence[Tensor], width: int) -> list[Tensor]:
    """Temporal profiles of several versions of one clip at the same place, where the last, the truth, is liveliest.

    A profile is one row of pixels over time, a line below the other. What stands still draws vertical lines, what
    moves slanted ones; what flickers breaks them.

    Args:
        clips: Each ``(1, T, C, H, W)``.
        width: Length of the stretch that is shown.

    Returns:
        Each ``(C, L, W)``: all frames, of short clips every one tall enough for 96 lines in all, about.
    """
    truth = clips[-1]
    row, left = liveliest(truth[0], width)
    tall = max(LINES // truth.shape[1], 1)
    stretches = [clip[0, ..., row, left : left + width] for clip in clips]
    return [stretch.transpose(0, 1).repeat_interleave(tall, dim=1) for stretch in stretches]


def liveliest(clip: Tensor, width: int) -> tuple[int, int]:
    """Where a profile shows most: the stretch of a row whose pixels change most over time.

    Args:
        clip: ``(T, C, H, W)``; of one frame, or of equal ones, it is the top left.
        width: Length of the stretch; more than there is stands for the whole row.

    Returns:
        Row and left end; ends lie on a grid of quarters of the width.
    """
    change = clip.float().diff(dim=0).abs().sum(dim=(0, 1))
    width = min(width, change.shape[-1])
    step = max(width // 4, 1)
    moved = change.unfold(-1, width, step).sum(dim=-1)
    row, place = divmod(int(moved.argmax()), moved.shape[-1])
    return row, place * step
