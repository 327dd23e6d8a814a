"""The student's UNet: Stable Diffusion's without time and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from adc.pruning.layers import norm_groups
from adc_sd21.after import After, unchanged, within
from adc_sd21.networks import without_norms


class Level(nn.Module):
    """Residual blocks of one resolution, each followed by self-attention if the level has any, and a resampler."""

    def __init__(
        self, resnets: Sequence[nn.Module], attentions: Sequence[nn.Module], resampler: tuple[str, nn.Module] | None
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        if resampler is not None:
            self.add_module(resampler[0], nn.ModuleList([resampler[1]]))

    def block(self, index: int, x: Tensor, after: After) -> Tensor:
        """One residual block and its attention."""
        x = after(f"resnets.{index}", self.resnets[index](x, None))
        return after(f"attentions.{index}", self.attentions[index](x)) if hasattr(self, "attentions") else x


class SelfAttention(nn.Module):
    """Stable Diffusion's transformer block without its cross-attention; ``(N, C, h, w)`` to the same."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        from diffusers.models.attention import BasicTransformerBlock

        self.norm = nn.GroupNorm(norm_groups(channels, groups), channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(channels, heads, channels // heads)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the positions of each image."""
        height = x.shape[-2]
        tokens = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        tokens = self.proj_out(self.transformer_blocks[0](tokens))
        return x + tokens.transpose(1, 2).unflatten(2, (height, -1))


class MiddleBlock(nn.Module):
    """Residual block, self-attention, residual block."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([SelfAttention(channels, heads, groups)])
        self.resnets = nn.ModuleList([_resnet(channels, channels, groups) for _ in range(2)])

    def forward(self, x: Tensor, after: After = unchanged) -> Tensor:
        """``(N, C, h, w)`` to the same."""
        x = after("resnets.0", self.resnets[0](x, None))
        x = after("attentions.0", self.attentions[0](x))
        return after("resnets.1", self.resnets[1](x, None))


class PlainUNet(nn.Module):
    """Stable Diffusion's UNet for one fixed step and no prompt.

    Time embeddings and cross-attention are gone (AdcSR, section 1.2); every other layer keeps its
    diffusers name, so that Stable Diffusion's weights load by name. Where the configuration's
    groups do not divide a width, as many take their place as pruning would leave, so that a pruned
    UNet is also the one of a configuration with smaller widths.

    Attributes:
        checkpoint_activations: Whether activations are recomputed in the backward pass instead of kept.
    """

    checkpoint_activations = False

    def __init__(self, config: dict[str, Any], in_channels: int, out_channels: int, last_kernel: int = 3) -> None:
        """Build from a ``unet/config.json`` with other channels at both ends and a last kernel of any odd size."""
        super().__init__()
        widths, depth = config["block_out_channels"], config["layers_per_block"]
        groups = config["norm_num_groups"] or 1
        heads = config["attention_head_dim"]
        heads = [heads] * len(widths) if isinstance(heads, int) else heads
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        skips, x = [widths[0]], widths[0]
        self.down_blocks: Any = nn.ModuleList()
        for level, kind in enumerate(config["down_block_types"]):
            width, last = widths[level], level == len(widths) - 1
            resnets = [_resnet(x if i == 0 else width, width, groups) for i in range(depth)]
            attentions = [SelfAttention(width, heads[level], groups) for _ in resnets] if "Attn" in kind else []
            self.down_blocks.append(Level(resnets, attentions, None if last else ("downsamplers", _down(width))))
            skips += [width] * (depth + (not last))
            x = width
        self.mid_block = MiddleBlock(x, heads[-1], groups)
        self.up_blocks: Any = nn.ModuleList()
        for level, kind in zip(reversed(range(len(widths))), config["up_block_types"], strict=True):
            width, last = widths[level], level == 0
            resnets = []
            for _ in range(depth + 1):
                resnets.append(_resnet(x + skips.pop(), width, groups))
                x = width
            attentions = [SelfAttention(width, heads[level], groups) for _ in resnets] if "Attn" in kind else []
            self.up_blocks.append(Level(resnets, attentions, None if last else ("upsamplers", _up(width))))
        self.conv_norm_out = nn.GroupNorm(norm_groups(x, groups), x, eps=1e-5)
        self.conv_out = nn.Conv2d(x, out_channels, last_kernel, padding=last_kernel // 2)
        if config["norm_num_groups"] is None:
            without_norms(self)

    @property
    def multiple(self) -> int:
        """Sides of the input must be multiples of this."""
        return 2 ** (len(self.down_blocks) - 1)

    def _block(self, level: Level, index: int, x: Tensor, after: After) -> Tensor:
        if self.checkpoint_activations and torch.is_grad_enabled():
            return checkpoint(level.block, index, x, after, use_reentrant=False)
        return level.block(index, x, after)

    def forward(self, x: Tensor, after: After = unchanged) -> Tensor:
        """``(N, in_channels, h, w)`` to ``(N, out_channels, h, w)``.

        Args:
            x: Images.
            after: Applied to what each residual block and each attention returns; it is told which
                (``down_blocks.0.attentions.1``, ``mid_block.resnets.0``). With `checkpoint_activations` it is
                called once more in the backward pass.
        """
        x = self.conv_in(x)
        skips = [x]
        for number, level in enumerate(self.down_blocks):
            for index in range(len(level.resnets)):
                x = self._block(level, index, x, within(f"down_blocks.{number}", after))
                skips.append(x)
            if hasattr(level, "downsamplers"):
                x = level.downsamplers[0](x)
                skips.append(x)
        x = self.mid_block(x, within("mid_block", after))
        for number, level in enumerate(self.up_blocks):
            for index in range(len(level.resnets)):
                x = self._block(level, index, _join(x, skips.pop()), within(f"up_blocks.{number}", after))
            if hasattr(level, "upsamplers"):
                x = level.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def _join(x: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([x, skip], dim=1)


def _resnet(inputs: int, outputs: int, groups: int) -> nn.Module:
    from diffusers.models.resnet import ResnetBlock2D

    no_time: Any = None
    return ResnetBlock2D(
        in_channels=inputs,
        out_channels=outputs,
        temb_channels=no_time,
        groups=norm_groups(inputs, groups),
        groups_out=norm_groups(outputs, groups),
        eps=1e-5,
    )


def _down(width: int) -> nn.Module:
    from diffusers.models.downsampling import Downsample2D

    return Downsample2D(width, use_conv=True, name="op")


def _up(width: int) -> nn.Module:
    from diffusers.models.upsampling import Upsample2D

    return Upsample2D(width, use_conv=True)
