"""A denoiser of three convolutions, and its conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adc.interfaces import Autoencoder, Batch, Conditioner, Denoiser
from adc.ops.clip import per_frame, upsample_bicubic
from adc_tiny.latent import TinyAutoencoder
from adc_tiny.seeded import seeded
from adc_tiny.student import LATENT

TEXT = 4
FILE = "denoiser.safetensors"


class TinyDenoiser(Denoiser):
    """Three convolutions over the noisy latent, LR's latent, the time and the text."""

    depth = 2

    def __init__(self, width: int = 16, source: str | None = None, seed: int = 0, channels: int = LATENT) -> None:
        """
        Args:
            width: Channels of the hidden features.
            source: A folder that `save_pretrained` wrote; null draws the weights.
            seed: Of those draws.
            channels: Channels of the latents.
        """
        super().__init__()
        self.init_args = {"width": width, "seed": seed, "channels": channels}
        with seeded(seed):
            self.embedding = nn.Linear(1 + TEXT, width)
            first = nn.Conv2d(2 * channels, width, 3, padding=1)
            self.blocks = nn.ModuleList([first, nn.Conv2d(width, width, 3, padding=1)])
            self.out = nn.Conv2d(width, channels, 3, padding=1)
        if source is not None:
            self.load_state_dict(load_file(Path(source) / FILE))

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: dict[str, Tensor],
        taps: Sequence[int] = (),
        stop_early: bool = False,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The velocity, and features ``(B, T, width, h, w)`` of two blocks.

        Args:
            z_t: ``(B, T, channels, h, w)``.
            t: ``(B,)``.
            condition: What `TinyConditioner` made: ``lr`` ``(B, T, channels, h, w)`` and ``text`` ``(B, 4)``.
            taps: Of 0 and 1.
            stop_early: Whether to end after the last of the taps.
        """
        embedded = self.embedding(torch.cat([t[:, None].to(z_t), condition["text"]], dim=1))[:, None, :, None, None]
        hidden, features = torch.cat([z_t, condition["lr"]], dim=2), []
        for block in self.blocks[: max(taps, default=-1) + 1] if stop_early else self.blocks:
            hidden = nn.functional.silu(per_frame(block, hidden) + embedded)
            features.append(hidden)
        return None if stop_early else per_frame(self.out, hidden), [features[tap] for tap in taps]

    def save_pretrained(self, folder: str) -> None:
        """Write the weights, as ``source`` reads them."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, Path(folder) / FILE)


class TinyConditioner(Conditioner):
    """Latents of an autoencoder: HR's are clean, those of enlarged LR the condition; the text is one vector."""

    def __init__(
        self,
        scale: int = 4,
        text: str = "restored",
        negative: str = "",
        autoencoder: Autoencoder | None = None,
    ) -> None:
        """
        Args:
            scale: How many times larger ``hr`` is than ``lr``.
            text: The text of a batch that has none.
            negative: The text of `unconditional`.
            autoencoder: Null is a `TinyAutoencoder`.
        """
        super().__init__()
        self.scale, self.text, self.negative = scale, text, negative
        self.init_args = {"scale": scale, "text": text, "negative": negative, "autoencoder": autoencoder}
        self.autoencoder = TinyAutoencoder() if autoencoder is None else autoencoder

    def condition(self, batch: Batch) -> dict[str, Tensor]:
        """``lr``: the latent of enlarged LR; ``text``: a vector for each text, zeros for an empty one."""
        lr = batch["lr"]
        texts = batch.get("text", [self.text] * len(lr))
        text = torch.stack([_vector(text) for text in texts]).to(lr)
        cached = batch.get("lr_latents")
        latents = self.autoencoder.encode(upsample_bicubic(lr, self.scale)) if cached is None else cached
        return {"lr": latents, "text": text}

    def unconditional(self, condition: dict[str, Tensor]) -> dict[str, Tensor]:
        """``text``: that of the negative text."""
        return {**condition, "text": _vector(self.negative).to(condition["text"]).expand_as(condition["text"])}


def _vector(text: str) -> Tensor:
    drawn = torch.randn(TEXT, generator=torch.Generator().manual_seed(crc32(text.encode())))
    return drawn if text else torch.zeros(TEXT)
