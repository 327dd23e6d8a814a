"""A small decoder of latents that also sees the LR clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.interfaces import Decoder
from adc.ops.clip import upsample_bicubic

Past = dict[nn.Module, Tensor]
"""What each causal convolution keeps of the frames before."""


class ConditionalDecoder(Decoder):
    """A small causal decoder that adds detail to the bicubically enlarged LR clip, of its latents and of that clip.

    The idea is FlashVSR's (Zhuang et al., 2025): LR has most of what is to be seen, so the decoder of a restorer can be
    far smaller than that of an autoencoder. Residual blocks work on the grid of the latents, then frame by frame on
    twice its sides, where LR joins them, and on further doublings; between them channels become frames and pixels.
    No frame depends on a later latent or LR frame, and a clip is computed latent by latent.
    """

    sees_lr = True

    def __init__(
        self,
        channels: int = 16,
        width: int = 64,
        blocks: Sequence[int] = (2, 4, 6),
        scale: int = 4,
        strides: Sequence[int] = (4, 8),
        seed: int = 0,
    ) -> None:
        """
        Args:
            channels: Channels of the latents.
            width: Channels on the finest grid; each coarser one has twice as many.
            blocks: Residual blocks on each grid, from that of the latents; each grid has twice the sides of the last.
            scale: How many times larger the result is than LR.
            strides: Frames and pixels for each position of a latent, those of the autoencoder.
            seed: Of the weights.

        Raises:
            ValueError: If the scale or the number of grids does not fit the strides.
        """
        super().__init__()
        frames, side = strides
        finest = 2 ** (len(blocks) - 1)
        if len(blocks) < 2 or side % finest:
            raise ValueError(f"blocks: {len(blocks)} grids do not fit {side} pixels for each latent; give 2 or more.")
        if side % (2 * scale):
            fitting = ", ".join(str(one) for one in range(1, side) if side % (2 * one) == 0)
            raise ValueError(
                f"scale: {scale} does not fit {side} pixels for each latent; ConditionalDecoder takes {fitting}."
            )
        self.frames, self.scale, self.unshuffle, self.shuffle = frames, scale, side // (2 * scale), side // finest
        self.init_args = {"channels": channels, "width": width, "blocks": list(blocks), "scale": scale}
        self.init_args |= {"strides": list(strides), "seed": seed}
        widths = [width * finest // 2**grid for grid in range(len(blocks))]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv_in = CausalConv(channels, widths[0])
            self.lr_in = _framewise(3 * self.unshuffle**2, widths[1])
            self.grids = nn.ModuleList(
                nn.ModuleList(CausalBlock(wide) for _ in range(count))
                for wide, count in zip(widths, blocks, strict=True)
            )
            steps = [frames] + [1] * (len(blocks) - 2)
            self.expand = nn.ModuleList(
                nn.Conv3d(wide, 4 * step * narrow, 1)
                for wide, narrow, step in zip(widths[:-1], widths[1:], steps, strict=True)
            )
            self.conv_out = _framewise(widths[-1], 3 * self.shuffle**2)

    def forward(self, projected: Tensor, lr: Tensor | None = None) -> Tensor:
        """Pixels ``(B, 1 + 4 k, 3, 8 h, 8 w)``, not clamped.

        Args:
            projected: ``(B, 1 + k, Z, h, w)``.
            lr: ``(B, 1 + 4 k, 3, 8 h / scale, 8 w / scale)``.

        Raises:
            ValueError: If there is no LR clip, or it has another number of frames.
        """
        expected = 1 + (projected.shape[1] - 1) * self.frames
        if lr is None or lr.shape[1] != expected:
            found = "none" if lr is None else f"{lr.shape[1]} frames"
            raise ValueError(
                f"lr: ConditionalDecoder needs an LR clip of {expected} frames with these latents, not {found}."
            )
        parts = lr.split([1] + [self.frames] * (projected.shape[1] - 1), dim=1)
        return torch.cat(list(self.stream(zip(projected.split(1, dim=1), parts, strict=True))), dim=1)

    def stream(self, parts: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """Pixels of a clip of any length, part by part; no more is held than its convolutions keep.

        Args:
            parts: Of one or more latents each, in their order from the first of a clip: ``(B, n, Z, h, w)`` and their
                LR frames, ``(B, 4 n, 3, ., .)``, of the first part ``(B, 4 n - 3, 3, ., .)``.

        Yields:
            As many frames as LR has, ``(B, ., 3, 8 h, 8 w)``.
        """
        past: Past = {}
        for projected, lr in parts:
            yield upsample_bicubic(lr, self.scale) + self._detail(projected, lr, past)

    def _detail(self, projected: Tensor, lr: Tensor, past: Past) -> Tensor:
        skipped = 0 if past else self.frames - 1  # the first latent is that of one frame
        x = self.conv_in(projected.transpose(1, 2), past)
        for index, blocks in enumerate(self.grids):
            if index:
                x = self.expand[index - 1](x)
            if index == 1:
                x = x.unflatten(1, (self.frames, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)[:, :, skipped:]
            if index:
                x = _shuffled(x, 2)
            if index == 1:
                x = x + self.lr_in(F.pixel_unshuffle(lr, self.unshuffle).transpose(1, 2))
            for block in blocks:  # pyright: ignore[reportGeneralTypeIssues]
                x = block(x, past)
        return _shuffled(self.conv_out(F.silu(x)), self.shuffle).transpose(1, 2)


class CausalConv(nn.Conv3d):
    """A convolution over three frames, the last of which is the one that it computes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """
        Args:
            inputs: Channels that go in.
            outputs: Channels that come out.
        """
        super().__init__(inputs, outputs, 3, padding=(0, 1, 1))

    def forward(self, x: Tensor, past: Past) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """``(B, C, T, h, w)``; before a clip's first frame there are zeros. The last two frames go into `past`."""
        before = past[self] if self in past else x.new_zeros(*x.shape[:2], 2, *x.shape[3:])
        whole = torch.cat([before, x], dim=2)
        past[self] = whole[:, :, -2:]
        return super().forward(whole)


class CausalBlock(nn.Module):
    """A residual block: a causal convolution, and one of each frame."""

    def __init__(self, width: int) -> None:
        """
        Args:
            width: Its channels.
        """
        super().__init__()
        self.first, self.second = CausalConv(width, width), _framewise(width, width)

    def forward(self, x: Tensor, past: Past) -> Tensor:
        """``(B, C, T, h, w)``."""
        return x + self.second(F.silu(self.first(F.silu(x), past)))


def _framewise(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, (1, 3, 3), padding=(0, 1, 1))


def _shuffled(x: Tensor, factor: int) -> Tensor:
    """Channels of each frame to pixels."""
    return F.pixel_shuffle(x.transpose(1, 2), factor).transpose(1, 2)
