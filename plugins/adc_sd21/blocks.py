"""Descriptions of diffusers' blocks, which inference computes in fewer passes over memory."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from adc.interfaces.blocks import ResidualBlock, UpsampleConv


def describe(module: nn.Module) -> UpsampleConv | ResidualBlock | None:
    """An upsampling or a residual block of diffusers, if it has no further options."""
    block: Any = module
    if type(module) is _class("upsampling", "Upsample2D"):
        plain = {"use_conv": True, "use_conv_transpose": False, "norm": None, "interpolate": True}
        if all(getattr(block, key) == value for key, value in plain.items()):
            return UpsampleConv(block.conv if block.name == "conv" else block.Conv2d_0)
    if type(module) is _class("resnet", "ResnetBlock2D"):
        plain = {"upsample": None, "downsample": None, "output_scale_factor": 1.0}
        time = block.time_emb_proj
        timed = time is not None and (block.time_embedding_norm != "default" or block.skip_time_act)
        usual = all(getattr(block, key) == value for key, value in plain.items())
        if usual and isinstance(block.nonlinearity, nn.SiLU) and not timed:
            return ResidualBlock(block.norm1, block.conv1, block.norm2, block.conv2, time, block.conv_shortcut)
    return None


def _class(module: str, name: str) -> type | None:
    """A class of diffusers, if the network at hand can have one."""
    return getattr(sys.modules.get(f"diffusers.models.{module}"), name, None)
