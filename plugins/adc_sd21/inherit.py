"""What a student's weights begin with: the parts of its teacher that it has no layers for are folded in.

AdcSR drops time embeddings and prompts and tiles the UNet's first and last convolutions. Where the
step is fixed and the autoencoder has linear shortcuts, more can be kept, and exactly: a constant time
embedding is a bias, and two linear layers in a row are one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.ops.diffusion import scaled_linear_alphas

Weights = dict[str, Tensor]


def fold_time(unet: Weights, timestep: int, width: int) -> Weights:
    """A UNet's weights with the embedding of one timestep added to the biases of its residual blocks.

    Args:
        unet: The weights of diffusers' UNet2DConditionModel.
        timestep: The step at which the UNet is always asked.
        width: Channels of its first level, the size of the sinusoids.
    """
    from diffusers.models.embeddings import get_timestep_embedding

    waves = get_timestep_embedding(torch.tensor([timestep]), width, flip_sin_to_cos=True, downscale_freq_shift=0)
    hidden = F.silu(F.linear(waves, *layer(unet, "time_embedding.linear_1")))
    embedding = F.silu(F.linear(hidden, *layer(unet, "time_embedding.linear_2")))
    folded = dict(unet)
    for name in unet:
        if name.endswith(".time_emb_proj.weight"):
            block = name.removesuffix(".time_emb_proj.weight")
            shift = F.linear(embedding, *layer(unet, f"{block}.time_emb_proj"))[0]
            folded[f"{block}.conv1.bias"] = unet[f"{block}.conv1.bias"] + shift
    return folded


def tile_ends(unet: Weights, conv_in: nn.Conv2d, conv_out: nn.Conv2d) -> Weights:
    """A UNet's weights with both end convolutions repeated to other channels: AdcSR's rule (section 1.3)."""
    ends = dict(unet)
    ends["conv_in.weight"] = _tile(unet["conv_in.weight"], 1, conv_in.in_channels)
    for name in ("conv_out.weight", "conv_out.bias"):
        ends[name] = _tile(unet[name], 0, conv_out.out_channels)
    return ends


def fold_ends(
    unet: Weights, tuned: Weights, autoencoder: Weights, timestep: int, scale: float
) -> tuple[Weights, Weights]:
    """A UNet's weights with what lies before and behind it on the linear way through a one-step restorer.

    Before it lies the encoder's shortcut, behind it the closed form of the clean latent, the
    post-quantisation layer and the decoder's first convolution.

    Args:
        unet: The weights of the UNet.
        tuned: Those of the restorer, with its encoder.
        autoencoder: Those of the autoencoder.
        timestep: The restorer's step.
        scale: The autoencoder's scaling factor.

    Returns:
        The UNet's weights, its last convolution two pixels wider, and weight and bias of the
        convolution beside it, which carries the small image past the UNet.
    """
    alpha = scaled_linear_alphas()[timestep].item()
    mix = layer(tuned, "encoder.coarse_in.mix")
    into = after(layer(autoencoder, "post_quant_conv"), layer(autoencoder, "decoder.conv_in"))
    beside = after(scaled(mix, alpha**-0.5), into)
    first = after(scaled(mix, scale), layer(unet, "conv_in"))
    noise = scaled(layer(unet, "conv_out"), -((1 - alpha) ** 0.5) / alpha**0.5 / scale)
    last = after(noise, (into[0], torch.zeros_like(into[1])))
    ends = {**unet, **_named("conv_in.", first), **_named("conv_out.", last)}
    return ends, _named("", beside)


def _named(prefix: str, weights: tuple[Tensor, Tensor]) -> Weights:
    return {f"{prefix}weight": weights[0], f"{prefix}bias": weights[1]}


def _tile(tensor: Tensor, axis: int, length: int) -> Tensor:
    times = -(-length // tensor.shape[axis])
    return torch.cat([tensor] * times, dim=axis).narrow(axis, 0, length).clone()


def after(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution that does what two do in a row; exact away from the border.

    Args:
        first: Weight ``(M, I, k, k)`` and bias ``(M,)`` of the convolution that comes first.
        second: Weight ``(O, M, n, n)`` and bias ``(O,)`` of the other.

    Returns:
        Weight ``(O, I, k + n - 1, k + n - 1)`` and bias ``(O,)``.
    """
    (a, a_bias), (b, b_bias) = first, second
    pad = b.shape[-1] - 1
    weight = F.conv2d(F.pad(a.transpose(0, 1), (pad,) * 4), b.flip(-1, -2)).transpose(0, 1)
    return weight, b_bias + torch.einsum("omhw,m->o", b, a_bias)


def scaled(layer: tuple[Tensor, Tensor], factor: float) -> tuple[Tensor, Tensor]:
    """A linear layer whose output is multiplied."""
    return layer[0] * factor, layer[1] * factor


def layer(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer."""
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
