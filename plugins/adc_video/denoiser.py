"""Open video transformers as denoisers that see LR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from adc_sd21.folder import load, read_weights, save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from adc.interfaces import Denoiser
from adc_video import configuration
from adc_video.blocks import watched
from adc_video.families import FAMILIES, Call
from adc_video.layouts import Sizes
from adc_video.processes import PreservedVariance, Process, StraightPath


class VideoDenoiser(Denoiser):
    """A video transformer of diffusers, LR's latents behind the noisy ones in its channels.

    Families differ in their layout, time, sign, text and blocks, which one table holds (`adc_video.families`). The
    weights of a text-to-video model are widened: the layer that takes the latents gets zeros for the channels of LR, so
    that the first forward is that model's bit for bit. Rows of zeros behind the words of a text are padding: hidden
    from networks that take a mask (of an empty text the first row stays), and part of the text for the others.

    Where a patch spans several frames, the first one is repeated in front until they fit, and a feature stands for each
    of its frames.

    Attributes:
        network: The transformer.
        checkpoint_activations: Whether blocks are computed again in the backward pass; taps are kept once then.
    """

    def __init__(
        self,
        family: str,
        source: str | None = None,
        config: dict[str, Any] | None = None,
        lr_channels: bool = True,
        schedule: dict[str, Any] | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            family: wan21, skyreels_v2, sana_video, ltx, hunyuan, mochi or cogvideox.
            source: The weights: a folder in diffusers' layout, itself or in ``transformer/`` (stages write such
                folders); null draws them.
            config: Entries that differ from the ``transformer/config.json`` of Wan 2.1 1.3B, SkyReels-V2 1.3B,
                SANA-Video 2B, LTX-Video 2B, HunyuanVideo, Mochi 1 or CogVideoX-2b; a folder has its own. Its
                ``in_channels`` are those of the noisy latents.
            lr_channels: Whether the network takes LR's latents behind the noisy ones.
            schedule: Entries that differ from CogVideoX-2b's ``scheduler/scheduler_config.json``; a folder has its own,
                and other families have none.
            guidance: The guidance scale that networks of HunyuanVideo are given; null is its published 6. Others take
                none.
            seed: Of the weights that are drawn.

        Raises:
            FileNotFoundError: If there is no such source, or no schedule beside it.
            ImportError: If the installed diffusers has no such network.
            ValueError: If the family is unknown, an entry is unknown or has a value that is excluded, or the weights do
                not fit the configuration.
        """
        super().__init__()
        self.family, row = family, configuration.family_named(family)
        home = None if source is None else configuration.home_of(Path(source), "transformer")
        self.config = whole = configuration.transformer(row, home, config, lr_channels)
        self.schedule = configuration.schedule(row, home, schedule)
        self.process: Process = (
            StraightPath(row.backwards) if self.schedule is None else PreservedVariance(self.schedule)
        )
        self.guidance = configuration.guidance(row, guidance)
        self.lr_channels, self.checkpoint_activations = lr_channels, False
        kind = configuration.network(row.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if home is None:
                self.network = kind(**whole)
            else:
                with _WithoutWeights():
                    self.network = kind(**whole)
        if home is not None:
            first, weights = f"{row.widened}.weight", read_weights(home)
            load(self.network, _widened(weights, first, self.network.state_dict()[first].shape[1]), home)
        self.depth = sum(len(getattr(self.network, name)) for name in row.blocks)
        self.patch = _patch(whole)
        self.multiple = max(self.patch[1:])
        given = {key: value for key, value in whole.items() if key != "in_channels"}
        self.init_args = {"family": family, "source": None, "config": given, "lr_channels": lr_channels}
        self.init_args |= {"schedule": self.schedule, "guidance": self.guidance}

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: dict[str, Tensor],
        taps: Sequence[int] = (),
        stop_early: bool = False,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The velocity, and the outputs of blocks.

        Args:
            z_t: ``(B, T', Z, h, w)``.
            t: ``(B,)``, in float32.
            condition: ``text`` ``(B, L, D)``, and ``lr``, shaped like ``z_t``; for HunyuanVideo also ``pooled``
                ``(B, P)``, or zeros without it.
            taps: Blocks, from 0; of several lists they are counted through.
            stop_early: Whether to end after the last of the taps.

        Returns:
            The velocity, and for each tap the features ``(B, T', C, h', w')`` of the video's patches.

        Raises:
            ValueError: If the rows of the text have another width than the network takes, or another number.
        """
        row = FAMILIES[self.family]
        latents, time = self.process.inputs(z_t, t)
        channels = torch.cat([latents, condition["lr"].to(latents)], dim=2) if self.lr_channels else latents
        copies = -z_t.shape[1] % self.patch[0]
        channels = torch.cat([channels[:, :1]] * copies + [channels], dim=1)
        grid = _grid(channels, self.patch)
        text = self._checked(condition["text"].to(latents))
        network, found = self.network, dict[int, Tensor]()
        again = self.checkpoint_activations and torch.is_grad_enabled()
        if taps or stop_early or again:
            end = max(taps, default=-1) + 1 if stop_early else None
            network, found = watched(network, row.blocks, taps, end, again)
        output = network(
            hidden_states=row.layout.pack(channels, self.patch),
            encoder_hidden_states=text,
            timestep=time,
            return_dict=False,
            **({"encoder_attention_mask": words(text)} if row.masked else {}),
            **row.arguments(Call(self.config, grid, latents, condition, self.guidance)),
        )[0]
        features = [self._map(found[tap], grid)[:, copies:] for tap in taps]
        if stop_early:
            return None, features
        return self.process.velocity(row.layout.unpack(output, grid, self.patch)[:, copies:], z_t, t), features

    def _map(self, tokens: Tensor, grid: Sizes) -> Tensor:
        """Tokens ``(B, N, C)`` as maps, one for each frame of a patch."""
        maps = tokens.transpose(1, 2).unflatten(2, grid).transpose(1, 2)
        return maps[:, :, None].expand(-1, -1, self.patch[0], -1, -1, -1).flatten(1, 2)

    def _checked(self, text: Tensor) -> Tensor:
        row = FAMILIES[self.family]
        for what, found, key in (("length", text.shape[1], row.text_rows), ("width", text.shape[2], row.text_width)):
            if key is not None and found != self.config[key]:
                raise ValueError(
                    f"condition: the rows of the text have the {what} {found}, but {row.network} takes "
                    f"{self.config[key]} ({key}); give the conditioner that {what}."
                )
        return text

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float32) -> None:
        """Write ``transformer/`` in diffusers' layout, and the schedule beside it where there is one."""
        home, config = Path(folder), {"_class_name": FAMILIES[self.family].network, **self.config}
        save(self.network, config, home / "transformer", precision)
        if self.schedule is not None:
            configuration.save_schedule(self.schedule, home)


class _WithoutWeights(TorchFunctionMode):
    """Layers are made without memory for their weights; tables that are computed are real."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **{**(kwargs or {}), **({"device": "meta"} if func is torch.empty else {})})


def words(text: Tensor) -> Tensor:
    """Which rows of texts ``(B, L, D)`` are words, ``(B, L)``: all up to the last that is not zero, at least one."""
    behind = text.ne(0).any(dim=2).flip(1).cumsum(dim=1).flip(1)
    return torch.cat([behind.new_ones(len(text), 1), behind[:, 1:]], dim=1) > 0


def _widened(weights: dict[str, Tensor], name: str, channels: int) -> dict[str, Tensor]:
    """Weights whose layer of that name takes so many channels, zeros for those that it had not."""
    held = weights.get(name)
    if held is None or held.shape[1] >= channels:
        return weights
    zeros = held.new_zeros(held.shape[0], channels - held.shape[1], *held.shape[2:])
    return {**weights, name: torch.cat([held, zeros], dim=1)}


def _patch(config: dict[str, Any]) -> Sizes:
    size = config["patch_size"]
    return (config.get("patch_size_t") or 1, size, size) if isinstance(size, int) else tuple(size)


def _grid(latents: Tensor, patch: Sizes) -> Sizes:
    _, frames, _, rows, columns = latents.shape
    return frames // patch[0], rows // patch[1], columns // patch[2]
