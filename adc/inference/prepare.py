"""Prepared restorers: frozen, and in the layout and the precision in which they run fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adc.inference import onednn
from adc.inference.attention import PaddedHeads
from adc.inference.options import Precision
from adc.interfaces import Restorer
from adc.interfaces.blocks import ResidualBlock, UpsampleConv, describe_block

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Prepared(Restorer):
    """A restorer for inference only, made by `prepare`.

    Attributes:
        precision: Precision of its convolutions and linear layers.
        stored: Bytes of its parameters in that precision.
    """

    def __init__(self, network: Restorer, precision: Precision, device: torch.device, compile: bool) -> None:
        super().__init__()
        self.network, self.scale, self.precision, self.device = network, network.scale, precision, device
        self.stored = stored_bytes(network)
        self._pads_heads = device.type == "cpu" and not compile
        options: Any = {"freezing": True} if device.type == "cpu" else None
        self._restore, self._restore_tiles = (
            torch.compile(function, options=options) if compile else function
            for function in (network.restore, network.restore_tiles)
        )

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Restore a clip on any device; float32, on the device of `lr`, without gradients."""
        return self._run(self._restore, lr)

    def restore_tiles(self, lr: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
        """Restore tiles likewise."""
        return self._run(self._restore_tiles, lr, places)

    def _run(self, restore: Callable[..., Tensor], lr: Tensor, *rest: Any) -> Tensor:
        half = self.precision != "fp32"
        heads = PaddedHeads() if self._pads_heads else nullcontext()
        with torch.no_grad(), heads, torch.autocast(self.device.type, DTYPES[self.precision], enabled=half):
            hr = restore(lr.to(self.device, torch.float32), *rest)
        return hr.to(lr.device, torch.float32)

    def train(self, mode: bool = True) -> Prepared:
        """Stay in evaluation mode."""
        return super().train(False)


def prepare(
    restorer: Restorer, precision: Precision = "fp32", device: str | torch.device = "cpu", compile: bool = False
) -> Prepared:
    """Prepare a restorer for inference: no gradients, channels last, weights in their final precision and layout.

    Weights of convolutions and linear layers are converted once; the rest computes under autocast, so that
    what a network computes in float32 stays in float32. On a CPU weights are also packed
    into oneDNN's layout, where the CPU can compute with them in that
    precision, an upsampling by two before a convolution is folded into it, which is the same sum
    with 4/9 of the multiplications, and heads of attention are padded to whole vectors.

    Args:
        restorer: It is changed, and can be neither trained nor saved afterwards; copy it first to keep it.
        precision: Precision of convolutions, linear layers and attention.
        device: Where to compute.
        compile: Compile with torch.compile; it takes minutes at the first image, again at
            the first of another size, and needs a C++ compiler on a CPU.

    Raises:
        ValueError: If it is prepared already, or the device does not compute in that precision.
    """
    if isinstance(restorer, Prepared):
        raise ValueError("this restorer is prepared already; use it as it is.")
    place = torch.device(device)
    if reason := why_not(precision, place):
        raise ValueError(f"precision: {reason}")
    restorer.eval().requires_grad_(False).to(place)
    for module in restorer.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(DTYPES[precision])
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepared = Prepared(restorer, precision, place, compile)
    if place.type == "cpu" and not compile:
        for better in (_folded, _fused, _packed):
            _replace(restorer, better)
    return prepared


def why_not(precision: str, device: str | torch.device) -> str | None:
    """Why a device does not compute in a precision, in one line; None if it does."""
    answers = {name: onednn.obstacle(dtype, str(device)) for name, dtype in DTYPES.items()}
    if answers[precision] is None:
        return None
    place = "CPU" if str(device) == "cpu" else "device"
    able = " or ".join(name for name, answer in answers.items() if answer is None)
    return f"{precision}: this {place} does not compute in it ({answers[precision]}); take {able}."


def stored_bytes(restorer: nn.Module) -> int:
    """Bytes that parameters and buffers take, each counted once."""
    held = {id(tensor): tensor for tensor in (*restorer.parameters(), *restorer.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in held.values())


class PackedConv2d(nn.Module):
    """A zero-padded convolution with its weight in oneDNN's layout, and an optional sum behind it.

    Where the best layout depends on the size of the input (`adc.inference.onednn.layout_follows_size`), oneDNN changes
    it at every call if it is another one (480 channels of 32 x 32 pixels with AMX in bfloat16: 89 ms instead of 1.7).
    There the weight is packed for the current size, anew whenever that changes.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        padding, stride, dilation = (list(value) for value in _geometry(convolution))
        self.dtype, self.bias = convolution.weight.dtype, convolution.bias
        self._settings: onednn.Settings = (padding, stride, dilation, convolution.groups)
        weight = onednn.pack_convolution(convolution.weight.detach(), self._settings)
        self._packed: tuple[Tensor, torch.Size | None] = (weight, None)

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """Convolve ``(N, I, h, w)``, and add something of the result's shape."""
        x, other = x.to(self.dtype), None if added is None else added.to(self.dtype)
        return onednn.convolve(x, self._weight(x.shape), self.bias, self._settings, other)

    def _weight(self, size: torch.Size) -> Tensor:
        """The weight, laid out for an input of a size."""
        weight, packed_for = self._packed
        if onednn.layout_follows_size(self.dtype) and packed_for != size:
            weight = onednn.pack_convolution(weight.to_dense(), self._settings, size)
            self._packed = (weight, size)
        return weight


class PackedLinear(nn.Module):
    """A linear layer whose weight lies in oneDNN's own layout."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.dtype, self.bias = layer.weight.dtype, layer.bias
        self._weight = onednn.pack_linear(layer.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return onednn.multiply(x.to(self.dtype), self._weight, self.bias)


class FoldedUpsample(nn.Module):
    """Nearest upsampling by two and a 3 x 3 convolution, as one 2 x 2 convolution of the LR image.

    Each of the four pixels that an LR pixel becomes sees two by two LR pixels under the nine
    weights; weights over the same LR pixel are added up beforehand. The convolution is padded by one, of stride one.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight, bias = convolution.weight.detach(), convolution.bias
        shares = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
        folded = torch.einsum("pur,qvs,oirs->pqoiuv", shares, shares, weight.float()).flatten(0, 2)
        self.channels = convolution.out_channels
        inner = nn.Conv2d(convolution.in_channels, 4 * self.channels, 2, padding=1, device="meta")
        inner.weight = nn.Parameter(folded.to(weight.dtype), requires_grad=False)
        inner.bias = None if bias is None else nn.Parameter(bias.detach().repeat(4), requires_grad=False)
        self.inner = PackedConv2d(inner) if onednn.can_pack(inner.weight.dtype) else inner

    def forward(self, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        """``(N, I, h, w)`` to ``(N, O, 2 h, 2 w)``."""
        batch, height, width = x.shape[0], x.shape[2], x.shape[3]
        if output_size is not None and tuple(output_size) != (2 * height, 2 * width):
            raise ValueError(
                f"an enlargement of {height} x {width} to {tuple(output_size)} cannot be folded; pad first."
            )
        phases = self.inner(x).unflatten(1, (2, 2, self.channels))
        large = torch.empty(batch, 2 * height, 2 * width, self.channels, dtype=phases.dtype).permute(0, 3, 1, 2)
        for row in range(2):
            for column in range(2):
                part = phases[:, row, column, :, row : row + height, column : column + width]
                large[:, :, row::2, column::2] = part
        return large


class FusedResidual(nn.Module):
    """A residual block in fewer passes over memory: activations in place, the sum in a packed convolution."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = block.norm1, block.conv1, block.norm2, block.conv2
        self.time_emb_proj, self.conv_shortcut = block.time, block.shortcut

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """``(N, I, h, w)`` and perhaps an embedded time to ``(N, O, h, w)``."""
        hidden = self.conv1(_activated(self.norm1, x))
        if self.time_emb_proj is not None and temb is not None:
            hidden += self.time_emb_proj(F.silu(temb))[:, :, None, None].to(hidden.dtype)
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        hidden = _activated(self.norm2, hidden)
        return self.conv2(hidden, shortcut) if isinstance(self.conv2, PackedConv2d) else self.conv2(hidden) + shortcut


def _activated(norm: nn.Module, x: Tensor) -> Tensor:
    fresh = not isinstance(norm, nn.Identity)
    return F.silu(norm(x), inplace=fresh)


def _geometry(convolution: nn.Conv2d) -> tuple[Any, Any, Any]:
    return convolution.padding, convolution.stride, convolution.dilation


def _replace(network: nn.Module, better: Callable[[nn.Module], nn.Module | None]) -> None:
    """Replace modules by better ones; a module that is used twice is replaced by one."""
    made: dict[nn.Module, nn.Module | None] = {}
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if child is None:
                continue
            if child not in made:
                made[child] = better(child)
            if (instead := made[child]) is not None:
                setattr(parent, name, instead)


def _folded(module: nn.Module) -> nn.Module | None:
    block = describe_block(module)
    if not isinstance(block, UpsampleConv):
        return None
    convolution = block.convolution
    fits = _is_plain(convolution) and _geometry(convolution) == ((1, 1), (1, 1), (1, 1))
    return FoldedUpsample(convolution) if fits and convolution.kernel_size == (3, 3) else None


def _fused(module: nn.Module) -> nn.Module | None:
    block = describe_block(module)
    return FusedResidual(block) if isinstance(block, ResidualBlock) and _is_plain(block.conv2) else None


def _packed(module: nn.Module) -> nn.Module | None:
    half = type(module) is nn.Linear and module.weight.dtype != torch.float32
    if not (_is_plain(module) or half) or not onednn.can_pack(module.weight.dtype):  # type: ignore[arg-type]
        return None
    better = PackedLinear(module) if isinstance(module, nn.Linear) else PackedConv2d(module)  # type: ignore[arg-type]
    module._parameters.clear()  # the weight would be held twice until all are packed
    return better


def _is_plain(module: Any) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
