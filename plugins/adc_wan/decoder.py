"""Wan's decoder as a network of its own, which can be cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.interfaces import Decoder, Prunable
from adc_wan.autoencoder import WanAutoencoder, decoded, new_cache


class WanDecoder(Decoder):
    """The decoder of `WanAutoencoder` as a student's own, to be cut by ``adc prune`` and pretrained.

    It computes latent by latent, as the autoencoder does; nothing but what its convolutions keep is held on the way.
    """

    def __init__(self, source: str | None = None, config: dict[str, Any] | None = None, seed: int = 0) -> None:
        """
        Args:
            source: The autoencoder's weights, as of `WanAutoencoder`; null draws them.
            config: The autoencoder's configuration, as of `WanAutoencoder`.
            seed: Of the weights that are drawn.
        """
        super().__init__()
        autoencoder = WanAutoencoder(source, config, seed)
        self.network, self.config = autoencoder.take_decoder(), autoencoder.config
        self.init_args = {"source": None, "config": self.config}

    @classmethod
    def of(cls, autoencoder: WanAutoencoder) -> WanDecoder:
        """The decoder of an autoencoder, which only encodes afterwards."""
        with torch.device("meta"):
            decoder = cls(config=autoencoder.config)
        decoder.network = autoencoder.take_decoder()
        return decoder.train(autoencoder.training)

    def forward(self, projected: Tensor, lr: Tensor | None = None) -> Tensor:
        """Pixels ``(B, 1 + 4 k, 3, 8 h, 8 w)`` of ``(B, 1 + k, Z, h, w)``, not clamped; ``lr`` does not count."""
        return torch.cat(list(self.stream(projected.split(1, dim=1))), dim=1)

    def stream(self, projected: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pixels of a clip of any length, latent by latent.

        Args:
            projected: ``(B, 1, Z, h, w)``, one after the other, from the first of a clip.

        Yields:
            ``(B, 1, 3, 8 h, 8 w)`` for the first, then ``(B, 4, 3, 8 h, 8 w)`` for each.
        """
        return decoded(self.network, projected, self.config["patch_size"] or 1)

    def prunable(self) -> Prunable:
        """All widths but those of latents and pixels; the middle attention keeps as many channels as it sees.

        Raises:
            NotImplementedError: If its blocks have shortcuts that repeat channels, as those of Wan 2.2 have.
        """
        if self.config["is_residual"]:
            raise NotImplementedError("WanDecoder cannot be pruned: shortcuts of Wan 2.2 repeat channels.")
        example = next(self.parameters()).new_zeros(1, self.config["z_dim"], 1, 2, 2)
        attentions = [(attention, attention.proj.in_channels) for attention in self.network.mid_block.attentions]

        def after() -> None:
            for norm in self.network.modules():
                if isinstance(scale := getattr(norm, "scale", None), float):
                    norm.scale = type(scale)(norm.gamma.numel() ** 0.5)
            for attention, width in attentions:
                _keep_temperature(attention, width)

        network = _Channels(self.network)
        return Prunable(network, (example,), {"decoder": self}, [self.network.conv_out], after=after)


class _Channels(nn.Module):
    """Layers of the decoder, connected so that channels that must fare alike meet; for its graph, not for its pixels.

    What comes out of an upsampler in time is two frames side by side, and the first frame goes past it: all three are
    added. So are query, key and value.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """``(B, Z, 1, h, w)`` to ``(B, 3, 1, 8 h, 8 w)``; without gradients, so not traced, as the decoder does it."""
        network = self.network
        if not torch.is_grad_enabled():
            return network(x, feat_cache=new_cache(network), feat_idx=[0])
        x = network.mid_block.resnets[0](network.conv_in(x))
        for attention, block in zip(network.mid_block.attentions, network.mid_block.resnets[1:], strict=True):
            x = block(x + attention.proj(_sum(attention.to_qkv(attention.norm(x[:, :, 0])), 3))[:, :, None])
        for up_block in network.up_blocks:
            for block in up_block.resnets:
                x = block(x)
            for upsampler in up_block.upsamplers or ():
                if hasattr(upsampler, "time_conv"):
                    x = x + _sum(upsampler.time_conv(x), 2)
                x = upsampler.resample(x[:, :, 0])[:, :, None]
        return network.conv_out(F.silu(network.norm_out(x)))


def _sum(x: Tensor, parts: int) -> Tensor:
    """The sum of parts of equal width, each by an operation of its own."""
    return torch.stack([part * number for number, part in enumerate(x.chunk(parts, dim=1), 1)]).sum(dim=0)


@torch.no_grad()
def _keep_temperature(attention: Any, before: int) -> None:
    """Fewer channels divide by a smaller root: put the difference into the queries."""
    channels = attention.proj.in_channels
    for parameter in attention.to_qkv.parameters():
        parameter[:channels] *= (channels / before) ** 0.5
