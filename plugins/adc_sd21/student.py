"""AdcSR: the pruned UNet and decoder as one feed-forward network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from adc.interfaces import LatentStudent, Prunable
from adc.interfaces.restorer import ColorMatching
from adc.ops.clip import per_frame
from adc.ops.padding import crop, pad_to_multiple
from adc.ops.sharded import full
from adc_sd21 import inherit, networks
from adc_sd21.after import After, unchanged, within
from adc_sd21.decoder import HalfDecoder, middle
from adc_sd21.folder import below, load, read_config, read_weights, resolve
from adc_sd21.one_step import one_step, unet_of, unet_weights
from adc_sd21.published import current_names
from adc_sd21.unet import PlainUNet


class AdcSRStudent(LatentStudent):
    """Adversarial diffusion compression's student (Chen et al., 2025).

    Pixels are unshuffled by ``unshuffle`` into channels, a UNet without time and text makes
    features of the decoder's width (its last convolution is connected to the decoder's middle
    block), and the decoder makes pixels. Built at full width; ``adc prune`` makes it small.
    """

    scale = 4
    decoder: HalfDecoder
    mid_block: nn.Module

    def __init__(
        self,
        folder: str | None = None,
        vae: dict[str, Any] | None = None,
        unet: dict[str, Any] | None = None,
        unshuffle: int = 2,
        color_matching: ColorMatching = "none",
    ) -> None:
        """
        Args:
            folder: A folder with ``vae/`` and ``unet/`` (Stable Diffusion) or ``restorer/`` (an
                OSEDiff folder, or ``demo``) to start from; null leaves the weights at their initialisation.
            vae: Entries that differ from Stable Diffusion's ``vae/config.json``; only without a folder.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; only without a folder.
            unshuffle: Pixels of the small clip, in each direction, that become channels of one position: a
                quarter of the decoder's stride.
            color_matching: What results take over from the colours of LR when ``adc upscale`` makes them: none, adain
                (mean and spread of the whole; published) or wavelet. The student's folder keeps it.
        """
        super().__init__()
        self.color_matching = color_matching
        if folder is None:
            vae_config = networks.complete(networks.SD_VAE, vae)
            unet_config = networks.complete(networks.SD_UNET, unet)
        else:
            home = resolve(folder)
            source, _ = unet_of(home)
            vae_config = read_config(home / "vae", networks.SD_VAE)
            unet_config = read_config(source, networks.SD_UNET)
        stride = 2 ** (len(vae_config["block_out_channels"]) - 1)
        if stride != self.scale * unshuffle:
            raise ValueError(
                f"unshuffle: {unshuffle} and a decoder of stride {stride} enlarge by {stride / unshuffle:g}, "
                f"not by {self.scale}; set it to {stride // self.scale}."
            )
        self.init_args = {"folder": None, "vae": vae_config, "unet": unet_config, "unshuffle": unshuffle}
        self.unshuffle = nn.PixelUnshuffle(unshuffle)
        if folder is None:
            self._build(vae_config, unet_config)
        else:
            with torch.device("meta"):
                self._build(vae_config, unet_config)
            self._inherit(home, source)

    def _build(self, vae: dict[str, Any], unet: dict[str, Any]) -> None:
        self.decoder = HalfDecoder(vae)
        self.mid_block = HalfDecoder(vae).mid_block
        inputs, width = 3 * self.unshuffle.downscale_factor**2, vae["block_out_channels"][-1]
        coarse = bool(vae.get(networks.SHORTCUT))
        self.unet = PlainUNet(unet, inputs, width, last_kernel=5 if coarse else 3)
        self.coarse_in = nn.Conv2d(inputs, width, 3, padding=1) if coarse else None

    @torch.no_grad()
    def _inherit(self, home: Path, source: Path) -> None:
        """Start from a diffusion model; `adc_sd21.inherit` says how both ends of its UNet are fitted."""
        autoencoder, unet = current_names(read_weights(home / "vae")), unet_weights(home)
        load(self.decoder, below(autoencoder, "decoder."), home / "vae")
        middle = below(autoencoder, "decoder.mid_block.")
        load(self.mid_block, {name: tensor.clone() for name, tensor in middle.items()}, home / "vae")
        if self.coarse_in is None:
            unet = inherit.tile_ends(unet, self.unet.conv_in, self.unet.conv_out)
        else:
            step = one_step(source)["timestep"]
            unet = inherit.fold_time(unet, step, self.init_args["unet"]["block_out_channels"][0])
            tuned = read_weights(source)
            unet, coarse = inherit.fold_ends(unet, tuned, autoencoder, step, self.init_args["vae"]["scaling_factor"])
            load(self.coarse_in, coarse, source)
        own = self.unet.state_dict()
        load(self.unet, {name: tensor for name, tensor in unet.items() if name in own}, source)

    @property
    def multiple(self) -> int:
        """Sides of the small clip are padded to multiples of this."""
        return self.unshuffle.downscale_factor * self.unet.multiple

    def encode(self, lr: Tensor) -> Tensor:
        """Features after the middle block; a clip whose sides do not fit is padded right and below first."""
        return per_frame(self._encode, pad_to_multiple(lr, self.multiple))

    def _encode(self, image: Tensor, after: After = unchanged) -> Tensor:
        return middle(self.mid_block, self.before_middle(image, after), within("mid_block", after))

    def before_middle(self, image: Tensor, after: After = unchanged) -> Tensor:
        """What the UNet hands to the decoder's middle block; small images ``(N, 3, h, w)`` to ``(N, C, h', w')``."""
        x = self.on_grid(image)
        feature = self.unet(x, within("unet", after))
        return feature if self.coarse_in is None else feature + self.coarse_in(x)

    def on_grid(self, image: Tensor) -> Tensor:
        """The UNet's input from LR images: their pixels as channels of the features' grid."""
        return self.unshuffle(image)

    def decode(self, feature: Tensor) -> Tensor:
        """Pixels, padding included."""
        return per_frame(self.decoder.render, feature)

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Super-resolve a clip of any size."""
        return crop(self.decode(self.encode(lr)), lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)

    def decode_latents(self, projected: Tensor) -> Tensor:
        """Pixels of an autoencoder's projected latents."""
        return per_frame(self.decoder, projected)

    def sync_from_decoder(self) -> None:
        """Copy the decoder's middle block, with which the student's own begins (AdcSR, section 1.1)."""
        own, source = self.mid_block.state_dict(), self.decoder.mid_block.state_dict()
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(full(source[name]))

    def prunable(self) -> Prunable:
        """Both ways into the decoder are traced together, so that they are cut alike."""
        network = _BothWays(self)
        side = self.multiple
        grid = side // self.unshuffle.downscale_factor
        example = (torch.zeros(1, 3, side, side), torch.zeros(1, self.decoder.conv_in.in_channels, grid, grid))
        ends: list[nn.Module] = [self.decoder, self.mid_block]
        if self.coarse_in is not None:
            ends.append(self.coarse_in)
        parts: dict[str, nn.Module] = {"unet": self.unet, "decoder": nn.ModuleList(ends)}
        last: list[nn.Module] = [self.decoder.conv_out]
        if self.decoder.coarse_out is not None:
            last.append(self.decoder.coarse_out.mix)
        return Prunable(network, example, parts, ignored=last, alike=[(self.decoder.mid_block, self.mid_block)])


class _BothWays(nn.Module):
    def __init__(self, student: AdcSRStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor, projected: Tensor) -> Tensor:
        either = self.student.before_middle(image) + self.student.decoder.conv_in(projected)
        return self.student.decoder.render(self.student.mid_block(either) + self.student.decoder.mid_block(either))
