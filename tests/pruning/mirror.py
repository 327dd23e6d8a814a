"""A student in which a known half of the channels does nothing.

In each stream of channels a random half is *idle*: an idle channel repeats the value of a live one
(so that norms over the channels are what they are without it) and nobody reads it. In attention the
idle channels of queries, keys and values are zero, the same number in each head; in a gated layer
both halves of an idle unit are zero. Cutting exactly the idle channels changes nothing.
"""

import torch
from adc_sd21 import AdcSRStudent
from torch import nn

SMALL = {
    "vae": {"block_out_channels": [8, 16, 32], "norm_num_groups": 8, "layers_per_block": 1},
    "unet": {
        "block_out_channels": [32, 64],
        "attention_head_dim": [2, 4],
        "norm_num_groups": 8,
        "layers_per_block": 1,
    },
    "unshuffle": 1,
}

CONCATENATIONS = {"up_blocks.0.resnets.0": (32, 32), "up_blocks.0.resnets.1": (32, 16)}
CONCATENATIONS |= {"up_blocks.1.resnets.0": (32, 16), "up_blocks.1.resnets.1": (16, 16)}
HEADS = {16: 2, 32: 4}


def mirrored_student():
    """A small SD-shaped student with idle channels; every norm treats each channel for itself."""
    torch.manual_seed(0)
    student = AdcSRStudent(
        vae={"block_out_channels": [8, 16, 32], "norm_num_groups": 8, "layers_per_block": 1},
        unet={
            "block_out_channels": [16, 32],
            "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
            "attention_head_dim": [2, 4],
            "norm_num_groups": 8,
            "layers_per_block": 1,
        },
        unshuffle=1,
    ).double()
    for name, module in student.named_modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = module.num_channels
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
            _repeat(module, norm_sources(name, module.weight.shape[0]))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.uniform_(module.weight, 0.2, 0.4)
            module.weight.data *= torch.randint(0, 2, module.weight.shape) * 2 - 1
            module.weight.data /= module.weight[0].numel() ** 0.5 / 3
            _idle_outputs(name, module)
            _idle_inputs(name, module)
    plan = student.prunable()
    plan.example = (torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 8, 8))
    student.prunable = lambda: plan
    return student


def sources(count):
    """For each channel itself if it is live, else the live one that it repeats."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    found = torch.arange(count)
    found[order[count // 2 :]] = order[: count // 2]
    return found


def live(count):
    return sources(count) == torch.arange(count)


def live_in_heads(count, heads):
    masks = []
    for head in range(heads):
        order = torch.randperm(count // heads, generator=torch.Generator().manual_seed(1000 + head))
        masks.append(order < count // heads // 2)
    return torch.cat(masks)


def norm_sources(name, count):
    for block, (hidden, skip) in CONCATENATIONS.items():
        if name == f"unet.{block}.norm1":
            return torch.cat([sources(hidden), hidden + sources(skip)])
    return sources(count)


def _idle_outputs(name, module):
    count = module.weight.shape[0]
    if name == "decoder.conv_out":
        return
    if name.endswith("net.0.proj"):
        _silence(module, ~live(count // 2).repeat(2))
    elif name.rpartition(".")[2] in {"to_q", "to_k", "to_v"}:
        _silence(module, ~live_in_heads(count, _heads(name, count)))
    else:
        _repeat(module, sources(count))


def _idle_inputs(name, module):
    count = module.weight.shape[1]
    if name in {"unet.conv_in", "decoder.conv_in"}:
        return
    mask = live(count)
    for block, (hidden, skip) in CONCATENATIONS.items():
        if name in {f"unet.{block}.conv1", f"unet.{block}.conv_shortcut"}:
            mask = torch.cat([live(hidden), live(skip)])
    if name.endswith("to_out.0"):
        mask = live_in_heads(count, _heads(name, count))
    module.weight.data[:, ~mask] = 0


def _heads(name, count):
    return HEADS[count] if name.startswith("unet") else 1


def _silence(module, rows):
    for parameter in module.parameters():
        parameter.data[rows] = 0


def _repeat(module, rows):
    for parameter in module.parameters():
        parameter.data = parameter.data[rows].clone()
