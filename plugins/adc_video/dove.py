"""DOVE: a video diffusion transformer as a one-step restorer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from adc_sd21.folder import load, save, save_tensors
from adc_sd21.text import name_of
from torch import Generator, Tensor, nn

from adc.interfaces import Teacher
from adc.ops import diffusion
from adc.ops.clip import per_frame
from adc.ops.padding import crop
from adc.ops.precision import computing_in
from adc_video import cogvideox
from adc_video.windows import blended, cover

FRAMES = 8
"""The autoencoder takes ``8 k + 1`` frames; other lengths come back with another number of frames."""


class DOVE(Teacher):
    """CogVideoX1.5-5B, fine-tuned to restore in one step (Chen et al., NeurIPS 2025).

    Frames are repeated at the end up to ``8 k + 1``, sides are padded with black, and the clip is enlarged
    bilinearly. Then ``z = s encode(x)``, ``v = transformer(z, t, prompt)``, ``z_0 = sqrt(a_t) z - sqrt(1 - a_t) v``,
    and the result is ``decode(z_0 / s)`` in ``[-1, 1]``, cropped. If the number of latent frames is odd, the
    transformer sees the first of them twice. The prompt is the empty one; no text encoder runs.

    A folder is in diffusers' layout, as published: ``transformer/``, ``vae/``, ``scheduler/``; beside them the
    embedding of the empty prompt, ``e3b0c442...b855.safetensors``.
    """

    takes_prompt = False

    def __init__(
        self,
        folder: str | None = None,
        prompt: str | None = None,
        transformer: dict[str, Any] | None = None,
        vae: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        precision: Literal["float32", "bfloat16"] = "bfloat16",
        published_rounding: bool = True,
        timestep: int = 399,
        scale: int = 4,
        multiple: int = 16,
        chunk: int | None = None,
        chunk_overlap: int = 9,
        tile: int | None = None,
        tile_overlap: int = 32,
        sample_seed: int | None = None,
    ) -> None:
        """
        Args:
            folder: The weights; null leaves them at their initialisation.
            prompt: The file with the embedding of the empty prompt, key ``prompt_embedding`` ``(226, 4096)``;
                null is the one in the folder, or zeros without a folder.
            transformer: Entries that differ from CogVideoX1.5-5B's ``transformer/config.json``; only without a folder.
            vae: Entries that differ from its ``vae/config.json``; only without a folder.
            scheduler: Entries that differ from its ``scheduler/scheduler_config.json``; only without a folder.
            precision: What the networks compute in, whatever the autocast says; published is bfloat16.
            published_rounding: Compute ``z_0`` in that precision too, its coefficients rounded to it as published
                (bfloat16: 0.625 and 0.78125); false computes it in float32 (0.627331 and 0.778753).
            timestep: The step of the noise schedule at which the transformer is asked.
            scale: How many times larger the result is; 1 restores at the given size.
            multiple: The small clip's sides are padded to multiples of this. Published is 16; at a scale of 4
                it can be 4.
            chunk: Longest part of a clip restored at once, in frames, one more than a multiple of 8; null
                takes it whole.
            chunk_overlap: Frames that neighbouring chunks share, at least; they fade there.
            tile: Longest side of the parts of a frame restored at once, in pixels of the small clip, a multiple
                of ``multiple``; null takes frames whole.
            tile_overlap: Pixels of the small clip that neighbouring tiles share, at least; they fade there.
            sample_seed: Draw the latent from the autoencoder's posterior, as published, with noise of this seed;
                null takes the posterior's mode.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If an argument is out of range, or weights, configurations or the prompt do not fit.
        """
        super().__init__()
        changes = {"transformer": transformer, "vae": vae, "scheduler": scheduler}
        self.scale, self.multiple = scale, multiple
        self.chunk, self.chunk_overlap, self.tile, self.tile_overlap = chunk, chunk_overlap, tile, tile_overlap
        self.timestep, self.sample_seed, self.published_rounding = timestep, sample_seed, published_rounding
        self._check_windows()
        number: torch.dtype = getattr(torch, precision)
        if folder is None:
            self.configs = {part: cogvideox.complete(part, changes[part]) for part in cogvideox.PARTS}
            self._build()
            self.transformer.to(number)
            self.vae.to(number)
            place = None if prompt is None else Path(prompt)
        else:
            home = _home(folder, changes)
            self.configs = {part: cogvideox.read_config(home, part) for part in cogvideox.PARTS}
            self._read(home, number)
            place = home / name_of("") if prompt is None else Path(prompt)
        self.alpha = cogvideox.alpha(self.configs["scheduler"], timestep)
        shape = (self.configs["transformer"]["max_text_seq_length"], self.configs["transformer"]["text_embed_dim"])
        empty = torch.zeros(shape, dtype=number) if place is None else cogvideox.read_prompt(place, shape, number)
        self.prompt = nn.Parameter(empty)
        self._check_multiple()

    @property
    def stride(self) -> int:
        """Pixels of the enlarged clip per latent position."""
        return 2 ** (len(self.configs["vae"]["block_out_channels"]) - 1)

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Super-resolve a clip of any size and length; the result is clamped, as published."""
        frames, height, width = lr.shape[1], lr.shape[-2], lr.shape[-1]
        padded = pad_frames(pad_with_black(lr, self.multiple))
        axes = (
            cover(padded.shape[1], self.chunk, self.chunk_overlap, FRAMES),
            *(cover(side, self.tile, self.tile_overlap, self.multiple) for side in padded.shape[-2:]),
        )
        large = blended(self._at_once, padded, axes, self.scale)
        large = crop(large[:, :frames], height * self.scale, width * self.scale)
        return large.clamp(-1, 1).to(lr.dtype)

    def _at_once(self, lr: Tensor) -> Tensor:
        """A padded clip, or a part of one; float32."""
        large = per_frame(
            lambda x: F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False), lr.float()
        )
        with computing_in("float32", lr.device):  # no autocast: weights and inputs have the precision already
            z = self._encoded(large.to(self.prompt.dtype).transpose(1, 2)).transpose(1, 2)
            return self._decoded(self._clean(z).transpose(1, 2)).transpose(1, 2).float()

    def _encoded(self, pixels: Tensor) -> Tensor:
        posterior: Any = self.vae.encode(pixels).latent_dist
        latent = posterior.mode()
        if self.sample_seed is not None:
            generator = torch.Generator("cpu").manual_seed(self.sample_seed)
            noise = torch.randn(latent.shape[1:], generator=generator, device="cpu")
            latent = latent + posterior.std * noise.to(latent)
        return latent * self.configs["vae"]["scaling_factor"]

    def _clean(self, z: Tensor) -> Tensor:
        """The restored latent of an encoded one, both ``(B, L, Z, h, w)`` and scaled."""
        copies = -z.shape[1] % (self.configs["transformer"]["patch_size_t"] or 1)
        seen = torch.cat([z[:, :1]] * copies + [z], dim=1)
        velocity = self.transformer(
            hidden_states=seen,
            encoder_hidden_states=self.prompt.expand(len(z), -1, -1),
            timestep=torch.full((len(z),), self.timestep, dtype=torch.long, device=z.device),
            image_rotary_emb=self._positions(seen),
            return_dict=False,
        )[0][:, copies:]
        if self.published_rounding:
            alpha = torch.tensor(self.alpha, dtype=z.dtype, device="cpu")
            return diffusion.clean_from_velocity(z, velocity, alpha)
        return diffusion.clean_from_velocity(z.float(), velocity.float(), self.alpha)

    def _positions(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary embeddings of the transformer's patches, whose positions are counted from 0."""
        config = self.configs["transformer"]
        frames, rows, columns = z.shape[1], z.shape[-2], z.shape[-1]
        grid = (frames // (config["patch_size_t"] or 1), rows // config["patch_size"], columns // config["patch_size"])
        return cogvideox.counted_positions(config["attention_head_dim"], grid, z.device)

    def _decoded(self, latent: Tensor) -> Tensor:
        scaled = latent.to(self.prompt.dtype) * (1 / self.configs["vae"]["scaling_factor"])
        return self.vae.decode(scaled).sample

    def _build(self) -> None:
        self.transformer: Any = cogvideox.transformer(self.configs["transformer"])
        self.vae: Any = cogvideox.vae(self.configs["vae"])

    def _read(self, home: Path, number: torch.dtype) -> None:
        with torch.device("meta"):
            self._build()
        for network, part in ((self.transformer, "transformer"), (self.vae, "vae")):
            load(network, cogvideox.read_weights(home / part, number), home / part)

    def save_pretrained(self, folder: str, precision: torch.dtype | None = None) -> None:
        """Write a folder, to be read by ``folder``; null keeps the precision of the weights."""
        home, number = Path(folder), precision or self.prompt.dtype
        save(self.transformer, self.configs["transformer"], home / "transformer", number)
        save(self.vae, self.configs["vae"], home / "vae", number)
        (home / "scheduler").mkdir(exist_ok=True)
        schedule = home / "scheduler" / cogvideox.FILES["scheduler"]
        schedule.write_text(json.dumps(self.configs["scheduler"], indent=2) + "\n")
        save_tensors({cogvideox.KEY: self.prompt}, home / name_of(""), number)

    def _check_windows(self) -> None:
        if self.scale < 1 or self.multiple < 1:
            raise ValueError(f"scale, multiple: {self.scale}, {self.multiple}; at least 1.")
        if self.chunk is not None and (self.chunk < 1 or self.chunk % FRAMES != 1):
            near = max(round((self.chunk - 1) / FRAMES), 1) * FRAMES + 1
            raise ValueError(f"chunk: {self.chunk} frames; one more than a multiple of {FRAMES}, for one {near}.")
        if self.tile is not None and (self.tile < 1 or self.tile % self.multiple):
            near = max(round(self.tile / self.multiple), 1) * self.multiple
            raise ValueError(f"tile: {self.tile} pixels; a multiple of {self.multiple}, for one {near}.")
        for name, window, step in (("chunk", self.chunk, FRAMES), ("tile", self.tile, self.multiple)):
            overlap = getattr(self, f"{name}_overlap")
            if window is not None and not 0 <= overlap <= window - step:
                raise ValueError(f"{name}_overlap: {overlap}; 0 to {window - step} for a {name} of {window}.")

    def _check_multiple(self) -> None:
        grid = self.stride * self.configs["transformer"]["patch_size"]
        if self.multiple * self.scale % grid:
            least = math.lcm(self.scale, grid) // self.scale
            raise ValueError(
                f"multiple: {self.multiple} enlarged by {self.scale} is no multiple of the networks' {grid}; "
                f"take a multiple of {least}."
            )


def pad_frames(clip: Tensor) -> Tensor:
    """Repeat the last frame of ``(B, T, C, H, W)`` until there are ``8 k + 1``."""
    missing = -(clip.shape[1] - 1) % FRAMES
    return torch.cat([clip, clip[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1) if missing else clip


def pad_with_black(clip: Tensor, multiple: int) -> Tensor:
    """Put -1 on the right and at the bottom of ``(B, T, C, H, W)`` until both sides are multiples."""
    height, width = clip.shape[-2:]
    return F.pad(clip, (0, -width % multiple, 0, -height % multiple), value=-1.0)


def _home(folder: str, changes: dict[str, dict[str, Any] | None]) -> Path:
    for part, config in changes.items():
        if config is not None:
            raise ValueError(f"{part}: a teacher read from a folder has its configuration there; give one of the two.")
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"folder: {folder}: no such folder; DOVE publishes one with transformer/, vae/, ...")
    return Path(folder)
