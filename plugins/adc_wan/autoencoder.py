"""Wan's causal autoencoder of videos."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from adc_sd21.folder import WEIGHTS, load, read_weights, save
from torch import Tensor

from adc.interfaces import Autoencoder
from adc.weights import read_checkpoint
from adc_wan.convert_vae import is_original, vae_to_diffusers


class WanAutoencoder(Autoencoder):
    """The autoencoder of Wan 2.1 (Wan team, 2025): 16 channels, a quarter of the frames, an eighth of the sides.

    A clip of ``1 + 4 k`` frames has ``1 + k`` latents; other lengths are refused, not cut. Latents are the
    posterior's mean ``(mu - mean) / std`` by channel; nothing is drawn. The first frame is computed alone and four
    at a time follow, each with what its convolutions keep of the frames before (caches of the call, none of the
    module). Pixels are not clamped, so that their gradients are not cut off.
    """

    def __init__(
        self,
        source: str | None = None,
        config: dict[str, Any] | None = None,
        seed: int = 0,
        decoder: bool = True,
    ) -> None:
        """
        Args:
            source: The weights: a folder in diffusers' layout, itself or in ``vae/``, or one file (``.safetensors``,
                ``.pth``) with diffusers' or the published names; null draws them.
            config: Entries that differ from Wan 2.1's ``vae/config.json``; a folder has its own.
            seed: Of the weights that are drawn.
            decoder: Whether it has its decoder; one that only encodes is enough for a student with its own.

        Raises:
            FileNotFoundError: If there is no such source.
            ValueError: If the configuration has an unknown entry, or the weights do not fit it.
        """
        super().__init__()
        home = None if source is None or Path(source).is_file() else _home(Path(source))
        if home is not None:
            if config is not None:
                raise ValueError(f"config: {home} holds its configuration; leave one of the two out.")
            config = json.loads((home / "config.json").read_text())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if source is None:
                self.vae = _network(config or {}, "config")
            else:
                with torch.device("meta"):
                    self.vae = _network(config or {}, f"{home}/config.json" if home else "config")
        if source is not None:
            load(self.vae, _read(Path(source)) if home is None else read_weights(home), source)
        self.config: dict[str, Any] = _plain(self.vae.config)
        self.init_args = {"source": None, "config": self.config}
        if not decoder:
            self.take_decoder()
        self.strides = (
            2 ** sum(self.config["temperal_downsample"]),
            2 ** (len(self.config["dim_mult"]) - 1) * (self.config["patch_size"] or 1),
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """The normalised mean of the posterior.

        Raises:
            ValueError: If the number of frames is not ``1 + 4 k``, or a side is no multiple of the stride.
        """
        step, side = self.strides
        self.latent_frames(pixels.shape[1])
        if pixels.shape[-2] % side or pixels.shape[-1] % side:
            size = f"{pixels.shape[-1]}x{pixels.shape[-2]}"
            raise ValueError(f"pixels: frames of {size}; WanAutoencoder takes multiples of {side}, pad them.")
        x, cache = self._patches(pixels.transpose(1, 2)), new_cache(self.vae.encoder)
        parts = x.split([1] + [step] * ((x.shape[2] - 1) // step), dim=2)
        codes = [self.vae.encoder(part, feat_cache=cache, feat_idx=[0]) for part in parts]
        mean = self.vae.quant_conv(torch.cat(codes, dim=2)).chunk(2, dim=1)[0].transpose(1, 2)
        centre, scale = self._statistics(mean)
        return (mean - centre) / scale

    def to_decoder_input(self, latent: Tensor) -> Tensor:
        """Undo the normalisation, and apply the post-quantisation convolution."""
        centre, scale = self._statistics(latent)
        return self.vae.post_quant_conv((latent * scale + centre).transpose(1, 2)).transpose(1, 2)

    def decode(self, latent: Tensor) -> Tensor:
        """Pixels of a latent, not clamped."""
        return torch.cat(list(self.decode_stream(latent.split(1, dim=1))), dim=1)

    def decode_stream(self, latents: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pixels of a clip of any length, latent by latent; no more is held than its convolutions keep.

        Args:
            latents: ``(B, 1, Z, h, w)``, one after the other, from the first of a clip.

        Yields:
            ``(B, 1, 3, 8 h, 8 w)`` for the first, then ``(B, 4, 3, 8 h, 8 w)`` for each.
        """
        decoder = self._decoder("decode")
        yield from decoded(decoder, map(self.to_decoder_input, latents), self.config["patch_size"] or 1)

    def take_decoder(self) -> Any:
        """The decoder, which is no part of it afterwards: it then only encodes.

        Raises:
            ValueError: If it has none.
        """
        taken, self.vae.decoder = self._decoder("give one away"), None
        self.init_args["decoder"] = False
        return taken

    @property
    def decodes(self) -> bool:
        """Whether it has its decoder."""
        return self.vae.decoder is not None

    def _decoder(self, purpose: str) -> Any:
        if not self.decodes:
            raise ValueError(f"autoencoder: it has no decoder to {purpose}; leave `decoder: false` out.")
        return self.vae.decoder

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float32) -> None:
        """Write ``vae/`` in diffusers' layout.

        Raises:
            ValueError: If it has no decoder.
        """
        self._decoder("write")
        save(self.vae, {"_class_name": "AutoencoderKLWan", **self.config}, Path(folder) / "vae", precision)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        centre, scale = (torch.tensor(self.config[f"latents_{name}"]).view(-1, 1, 1) for name in ("mean", "std"))
        return centre.to(like), scale.to(like)

    def _patches(self, x: Tensor) -> Tensor:
        from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

        return patchify(x, self.config["patch_size"] or 1)


def decoded(decoder: Any, projected: Iterable[Tensor], patch: int) -> Iterator[Tensor]:
    """Pixels of decoder inputs, one after the other, by a decoder with caches of this call.

    Args:
        decoder: Diffusers' ``WanDecoder3d``.
        projected: Decoder inputs ``(B, 1, Z, h, w)``, from the first of a clip.
        patch: Pixels, in each direction, in one position of what the decoder returns.
    """
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    cache = new_cache(decoder)
    for index, latent in enumerate(projected):
        x = decoder(latent.transpose(1, 2), feat_cache=cache, feat_idx=[0], first_chunk=index == 0)
        yield unpatchify(x, patch).transpose(1, 2)


def new_cache(half: Any) -> list[Any]:
    """What the convolutions of an encoder or decoder keep of the frames before: nothing yet."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

    return [None] * sum(isinstance(layer, WanCausalConv3d) for layer in half.modules())


def _network(config: dict[str, Any], origin: str) -> Any:
    from diffusers import AutoencoderKLWan

    given = {key: value for key, value in config.items() if not key.startswith("_")}
    known = set(inspect.signature(AutoencoderKLWan.__init__).parameters) - {"self"}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"{origin}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(known))}.")
    network = AutoencoderKLWan(**given)
    if len(network.config["latents_mean"]) != network.config["z_dim"]:
        raise ValueError(
            f"{origin}: latents_mean has {len(network.config['latents_mean'])} entries for z_dim "
            f"{network.config['z_dim']}; give latents_mean and latents_std of that length."
        )
    return network


def _plain(config: Any) -> dict[str, Any]:
    return json.loads(json.dumps({key: value for key, value in config.items() if not key.startswith("_")}))


def _home(folder: Path) -> Path:
    for home in (folder / "vae", folder):
        if (home / "config.json").is_file():
            return home
    raise FileNotFoundError(
        f"source: {folder}: no vae/config.json there, nor config.json, nor is it a file; expected a folder in "
        f"diffusers' layout with config.json and {WEIGHTS}, or the published Wan2.1_VAE.pth."
    )


def _read(file: Path) -> dict[str, Tensor]:
    held = read_checkpoint(file, "source")
    return vae_to_diffusers(held) if is_original(held) else held
