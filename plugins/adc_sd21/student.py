"""AdcSR: the pruned UNet and decoder as one feed-forward network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Prunable, Student
from adc.ops.clip import per_frame
from adc.ops.padding import crop, pad_to_multiple
from adc_sd21 import networks
from adc_sd21.decoder import HalfDecoder
from adc_sd21.folder import below, load, read_config, read_weights, resolve
from adc_sd21.unet import PlainUNet


class AdcSRStudent(Student):
    """Adversarial diffusion compression's student (Chen et al., 2025).

    Pixels are unshuffled by ``unshuffle`` into channels, a UNet without time and text makes
    features of the decoder's width (its last convolution is connected to the decoder's middle
    block), and the decoder makes pixels. Built at full width; ``adc prune`` makes it small.
    """

    scale = 4

    def __init__(
        self,
        folder: str | None = None,
        vae: dict[str, Any] | None = None,
        unet: dict[str, Any] | None = None,
        unshuffle: int = 2,
    ) -> None:
        """
        Args:
            folder: A folder with ``vae/`` and ``unet/`` (Stable Diffusion) or ``restorer/`` (an
                OSEDiff folder, or ``demo``) to start from; null leaves the weights at their initialisation.
            vae: Entries that differ from Stable Diffusion's ``vae/config.json``; only without a folder.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; only without a folder.
            unshuffle: Pixels of the small clip, in each direction, that become channels of one position.
        """
        super().__init__()
        if folder is None:
            vae_config = networks.complete(networks.SD_VAE, vae)
            unet_config = networks.complete(networks.SD_UNET, unet)
        else:
            home = resolve(folder)
            source = home / ("restorer" if (home / "restorer").is_dir() else "unet")
            vae_config, unet_config = read_config(home / "vae"), read_config(source)
        self.init_args = {"folder": None, "vae": vae_config, "unet": unet_config, "unshuffle": unshuffle}
        self.unshuffle = nn.PixelUnshuffle(unshuffle)
        self.decoder = HalfDecoder(vae_config)
        self.unet = PlainUNet(unet_config, 3 * unshuffle**2, vae_config["block_out_channels"][-1])
        self.mid_block = HalfDecoder(vae_config).mid_block
        coarse = vae_config.get(networks.SHORTCUT)
        mid = vae_config["block_out_channels"][-1]
        self.coarse_in = nn.Conv2d(3 * unshuffle**2, mid, 3, padding=1) if coarse else None
        if folder is not None:
            prefix = "unet." if source.name == "restorer" else ""
            codec = read_weights(home / "vae")
            self._inherit(below(codec, "decoder."), read_weights(source, prefix), home)
            if self.coarse_in is not None:
                self._start_coarse(self.coarse_in, codec)

    @torch.no_grad()
    def _start_coarse(self, coarse_in: nn.Conv2d, codec: dict[str, Tensor]) -> None:
        """Begin with what the codec's shortcut and the decoder's first convolution make of the small image.

        All of it is linear, so it is one convolution; a silent UNet then leaves a plain enlargement.

        Raises:
            ValueError: If the codec's coarse picture is not the student's small image.
        """
        mix, projection = codec["coarse_in.mix.weight"][:, :, 0, 0], codec["post_quant_conv.weight"][:, :, 0, 0]
        if mix.shape[1] != coarse_in.in_channels:
            raise ValueError(
                f"unshuffle: the codec's shortcut has {mix.shape[1]} channels, not {coarse_in.in_channels}."
            )
        first = self.decoder.conv_in
        coarse_in.weight.copy_(torch.einsum("czhw,zi->cihw", first.weight, projection @ mix))
        constant = projection @ codec["coarse_in.mix.bias"] + codec["post_quant_conv.bias"]
        coarse_in.bias.copy_(first.bias + torch.einsum("czhw,z->c", first.weight, constant))
        self.unet.conv_out.weight.zero_()
        self.unet.conv_out.bias.zero_()

    def _inherit(self, decoder: dict[str, Tensor], unet: dict[str, Tensor], origin: Any) -> None:
        """Start from a diffusion model: its first and last convolutions are tiled to the new channels (section 1.3)."""
        load(self.decoder, decoder, origin / "vae")
        self.mid_block.load_state_dict(self.decoder.mid_block.state_dict())
        own = self.unet.state_dict()
        kept = {name: tensor for name, tensor in unet.items() if name in own}
        first, last = own["conv_in.weight"], own["conv_out.weight"]
        kept["conv_in.weight"] = _tile(unet["conv_in.weight"], 1, first.shape[1])
        for name in ("conv_out.weight", "conv_out.bias"):
            kept[name] = _tile(unet[name], 0, last.shape[0])
        load(self.unet, kept, origin)

    @property
    def multiple(self) -> int:
        """Sides of the small clip are padded to multiples of this."""
        return self.unshuffle.downscale_factor * self.unet.multiple

    def encode(self, lr: Tensor) -> Tensor:
        """Features after the middle block; a clip whose sides do not fit is padded right and below first."""
        return per_frame(self._encode, pad_to_multiple(lr, self.multiple))

    def _encode(self, image: Tensor) -> Tensor:
        return self.mid_block(self.before_middle(image))

    def before_middle(self, image: Tensor) -> Tensor:
        """What the UNet hands to the decoder's middle block; small images ``(N, 3, h, w)`` to ``(N, C, h', w')``."""
        x = self.unshuffle(image)
        return self.unet(x) if self.coarse_in is None else self.unet(x) + self.coarse_in(x)

    def decode(self, feature: Tensor) -> Tensor:
        """Pixels, padding included."""
        return per_frame(self.decoder.render, feature)

    def restore(self, lr: Tensor) -> Tensor:
        """Enlarge a clip of any size."""
        return crop(self.decode(self.encode(lr)), lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)

    def reconstruct(self, projected: Tensor) -> Tensor:
        """Pixels of a codec's projected latents."""
        return per_frame(self.decoder, projected)

    def prunable(self) -> Prunable:
        """Both ways into the decoder are traced together, so that they are cut alike."""
        network = _BothWays(self)
        side = self.multiple
        grid = side // self.unshuffle.downscale_factor
        example = (torch.zeros(1, 3, side, side), torch.zeros(1, self.decoder.conv_in.in_channels, grid, grid))
        ends = [self.decoder, self.mid_block] + ([self.coarse_in] if self.coarse_in is not None else [])
        parts = {"unet": self.unet, "decoder": nn.ModuleList(ends)}
        last = [self.decoder.conv_out] + ([self.decoder.coarse_out.mix] if self.decoder.coarse_out is not None else [])
        return Prunable(network, example, parts, ignored=last)


class _BothWays(nn.Module):
    def __init__(self, student: AdcSRStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor, projected: Tensor) -> Tensor:
        either = self.student.before_middle(image) + self.student.decoder.conv_in(projected)
        return self.student.decoder.render(self.student.mid_block(either) + self.student.decoder.mid_block(either))


def _tile(tensor: Tensor, axis: int, length: int) -> Tensor:
    times = -(-length // tensor.shape[axis])
    return torch.cat([tensor] * times, dim=axis).narrow(axis, 0, length).clone()
