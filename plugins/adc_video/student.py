"""AdcVSR: AdcSR's network, with convolutions over frames between its layers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from adc_sd21 import AdcSRStudent, networks, published
from adc_sd21.encoder import HalfEncoder
from adc_sd21.folder import below, load, read_config, read_weights, resolve
from adc_sd21.one_step import unet_weights
from adc_sd21.published import current_names
from torch import Tensor, nn

from adc.interfaces import Prunable
from adc.ops.clip import per_frame, upsample_bicubic
from adc.ops.padding import pad_to_multiple
from adc.pruning import load_student
from adc_video.temporal import Places, TemporalBlocks, channels_of


class AdcVSRStudent(AdcSRStudent):
    """Adversarial diffusion compression's student of videos (Chen et al.): space in two dimensions, time in one.

    The layers of an `AdcSRStudent`, and behind those of its UNet and its middle block a residual
    block of two convolutions over frames each. As it begins, they pass on what they get: every frame
    comes out as from the image student.

    Attributes:
        temporal_context: Frames that neighbouring chunks of a video share. Thirty blocks of convolutions over three
            frames depend on what is missing beside a chunk for about six frames, less and less.
    """

    temporal_context = 8

    def __init__(
        self,
        artifact: str | None = None,
        vae: dict[str, Any] | None = None,
        unet: dict[str, Any] | None = None,
        unshuffle: int | None = None,
        temporal: Places = "layers",
        latent: Literal["unshuffle", "encoder"] = "unshuffle",
        encoder: str | None = None,
        encoder_config: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            artifact: The folder of the `AdcSRStudent` to start from, pruned or not; null leaves the
                weights at their initialisation.
            vae: Entries that differ from Stable Diffusion's ``vae/config.json``, the widths being the
                published student's if not given; only without an artifact.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; likewise.
            unshuffle: As in `AdcSRStudent`, 2 if null; only without an artifact.
            temporal: What a temporal block follows: every residual block and every attention (``layers``,
                the published size), or each residual block together with its attention (``blocks``).
            latent: What the UNet is shown: the pixels of the small clip as channels (``unshuffle``), or
                latents of the bicubically enlarged clip, for which the student gets an encoder.
            encoder: A folder with ``vae/`` and a UNet (Stable Diffusion, an OSEDiff folder, or ``demo``), whose
                encoder and first convolution the student gets; null leaves both at their initialisation.
            encoder_config: Entries that differ from Stable Diffusion's ``vae/config.json``; only without that folder.

        Raises:
            ValueError: If arguments contradict each other, or the artifact is no AdcSR student.
        """
        given = {"vae": vae, "unet": unet, "unshuffle": unshuffle}
        if artifact is None:
            widths = published.STUDENT_VAE | (vae or {}), published.STUDENT_UNET | (unet or {})
            super().__init__(None, *widths, 2 if unshuffle is None else unshuffle)
        else:
            image = _image_student(artifact, given)
            with torch.device("meta"):
                super().__init__(**image.init_args)
            self.decoder, self.mid_block, self.unet = image.decoder, image.mid_block, image.unet
            self.coarse_in = image.coarse_in
        self.encoder: HalfEncoder | None = None
        if latent == "encoder":
            encoder_config = self._add_encoder(encoder, encoder_config)
        elif encoder is not None or encoder_config is not None:
            raise ValueError("encoder: the student has none unless latent is encoder.")
        self.temporal = TemporalBlocks(channels_of(self, temporal))
        more = {"temporal": temporal, "latent": latent, "encoder": None, "encoder_config": encoder_config}
        self.init_args = {"artifact": None} | {key: self.init_args[key] for key in given} | more

    def _add_encoder(self, folder: str | None, config: dict[str, Any] | None) -> dict[str, Any]:
        if folder is not None and config is not None:
            raise ValueError("encoder_config: the encoder of a folder has its configuration there; give one of both.")
        if self.coarse_in is not None:
            raise ValueError("latent: encoder needs a UNet that begins as Stable Diffusion's; this one has a shortcut.")
        home = None if folder is None else resolve(folder)
        whole = networks.complete(networks.SD_VAE, config)
        whole = whole if home is None else read_config(home / "vae", networks.SD_VAE)
        stride = 2 ** (len(whole["block_out_channels"]) - 1)
        if stride != self.scale * self.unshuffle.downscale_factor:
            expected = self.scale * self.unshuffle.downscale_factor
            raise ValueError(f"encoder: its stride is {stride}, but the student's decoder has {expected}.")
        self.encoder, tiled = HalfEncoder(whole), self.unet.conv_in
        self.latent_scale = whole["scaling_factor"]
        self.unet.conv_in = nn.Conv2d(whole["latent_channels"], tiled.out_channels, 3, padding=1)
        if home is not None:
            codec = current_names(read_weights(home / "vae"))
            own = self.encoder.state_dict()
            load(self.encoder, {name: tensor for name, tensor in codec.items() if name in own}, home / "vae")
            first = below(unet_weights(home), "conv_in.")
            load(self.unet.conv_in, _kept_filters(first, tiled.weight), home)
        return whole

    def encode(self, lr: Tensor) -> Tensor:
        """Features after the middle block; a clip whose sides do not fit is padded right and below first."""
        after = self.temporal.over(lr.shape[1])
        return per_frame(lambda image: self._encode(image, after), pad_to_multiple(lr, self.multiple))

    def on_grid(self, image: Tensor) -> Tensor:
        """The UNet's input from LR images: their pixels as channels, or latents of them enlarged."""
        if self.encoder is None:
            return super().on_grid(image)
        return self.encoder(upsample_bicubic(image[None], self.scale)[0]) * self.latent_scale

    def prunable(self) -> Prunable:
        """Channels are cut before there are temporal blocks.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("AdcVSRStudent: prune an AdcSRStudent, and name its folder as `artifact` here.")


def _image_student(folder: str, given: dict[str, Any]) -> AdcSRStudent:
    for key, value in given.items():
        if value is not None:
            raise ValueError(f"{key}: an artifact brings its own; leave it out.")
    image = load_student(folder)
    if isinstance(image, AdcVSRStudent):
        raise ValueError(f"artifact: {folder} holds a student of videos; adc.pruning.load_student reads it.")
    if not isinstance(image, AdcSRStudent):
        raise ValueError(f"artifact: {folder} holds a {type(image).__name__}; expected an AdcSRStudent.")
    return image


def _kept_filters(first: dict[str, Tensor], tiled: Tensor) -> dict[str, Tensor]:
    """A UNet's first convolution with the filters that are left of it in a pruned student.

    The student's began as copies side by side (`adc_sd21.inherit.tile_ends`); each is traced to the filter
    that the mean of its copies is nearest to.

    Args:
        first: ``weight`` ``(O, Z, 3, 3)`` and ``bias`` of the UNet's.
        tiled: ``(o, I, 3, 3)``, the student's.
    """
    latents = first["weight"].shape[1]
    copies = [tiled[:, index::latents].mean(dim=1) for index in range(min(latents, tiled.shape[1]))]
    mean = torch.stack(copies, dim=1).detach()
    nearest = torch.cdist(mean.flatten(1), first["weight"][:, : len(copies)].flatten(1)).argmin(dim=1)
    return {name: tensor[nearest].clone() for name, tensor in first.items()}
