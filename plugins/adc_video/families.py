"""The families of open video transformers that `VideoDenoiser` knows, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from adc_video import cogvideox
from adc_video.layouts import CHANNELS_FIRST, FRAMES_FIRST, TOKENS, Layout, Sizes

Config = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One forward, as far as arguments that a single family takes depend on it.

    Attributes:
        config: The network's configuration.
        grid: Patches of the latents.
        latents: Noisy latents ``(B, T', Z, h, w)``.
        condition: What the conditioner made.
        guidance: The guidance scale that the network is given, where it takes one.
    """

    config: Config
    grid: Sizes
    latents: Tensor
    condition: dict[str, Tensor]
    guidance: float | None


@dataclass(frozen=True)
class Family:
    """How the networks of one family are built, asked and read.

    Attributes:
        network: Their class in diffusers.
        layout: The shape of their latents, in and out.
        widened: The layer, a convolution or linear, that takes the latents; LR's channels come last.
        blocks: Their lists of blocks, in the order of computation. Where a block returns a pair, the video's tokens are
            the first.
        text_width: The entry of the configuration that is the width of a text's rows.
        text_rows: The entry that is how many rows a text has; null where any number does.
        masked: Whether rows of zeros behind a text are hidden from the network; else they take part, as published.
        arguments: Further arguments of the forward.
        base: What differs in the default configuration from diffusers' defaults.
        fixed: Entries that have one value alone; others ask for inputs that there are not.
        schedule: The default noise schedule of a process that preserves variance; null is the straight path.
        backwards: Whether time runs from noise and the velocity is ``z_0 - eps``, on the straight path.
        guidance: The default guidance scale, where networks take one.
    """

    network: str
    layout: Layout
    widened: str
    blocks: tuple[str, ...]
    text_width: str
    text_rows: str | None = None
    masked: bool = False
    arguments: Callable[[Call], Config] = lambda _: {}
    base: Config = field(default_factory=dict)
    fixed: Config = field(default_factory=dict)
    schedule: Config | None = None
    backwards: bool = False
    guidance: float | None = None


def _frame_rate(call: Call) -> Config:
    """24 frames per second, the second of the two that SkyReels-V2 knows."""
    return {"fps": [1] * len(call.latents)}


def _sizes(call: Call) -> Config:
    """The grid of packed latents; positions are seconds at 25 frames per second, and pixels, of LTX's autoencoder."""
    frames, height, width = call.grid
    scales = (8 / 25, 32, 32)
    return {"num_frames": frames, "height": height, "width": width, "rope_interpolation_scale": scales}


def _pooled_and_guidance(call: Call) -> Config:
    """CLIP's vector of the text, zeros where the conditioner has none, and ``1000 s``."""
    latents = call.latents
    pooled = call.condition.get("pooled")
    if pooled is None:
        pooled = latents.new_zeros(len(latents), call.config["pooled_projection_dim"])
    guidance = latents.new_full((len(latents),), 1000.0 * (call.guidance or 0.0))
    return {"pooled_projections": pooled.to(latents), "guidance": guidance}


def _positions(call: Call) -> Config:
    """Rotary embeddings, for networks that have no table of positions."""
    return {"image_rotary_emb": cogvideox.positions(call.config, call.grid, call.latents.device)}


_WAN_1_3B = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
_NO_IMAGE = {"image_dim": None, "added_kv_proj_dim": None, "pos_embed_seq_len": None}

FAMILIES: dict[str, Family] = {
    "wan21": Family(
        "WanTransformer3DModel",
        CHANNELS_FIRST,
        widened="patch_embedding",
        blocks=("blocks",),
        text_width="text_dim",
        base=_WAN_1_3B,
        fixed=_NO_IMAGE,
    ),
    "skyreels_v2": Family(
        "SkyReelsV2Transformer3DModel",
        CHANNELS_FIRST,
        widened="patch_embedding",
        blocks=("blocks",),
        text_width="text_dim",
        arguments=_frame_rate,
        base={**_WAN_1_3B, "inject_sample_info": True},
        fixed={**_NO_IMAGE, "num_frame_per_block": 1},
    ),
    "sana_video": Family(
        "SanaVideoTransformer3DModel",
        CHANNELS_FIRST,
        widened="patch_embedding",
        blocks=("transformer_blocks",),
        text_width="caption_channels",
        masked=True,
        fixed={"guidance_embeds": False},
    ),
    "ltx": Family(
        "LTXVideoTransformer3DModel",
        TOKENS,
        widened="proj_in",
        blocks=("transformer_blocks",),
        text_width="caption_channels",
        masked=True,
        arguments=_sizes,
    ),
    "hunyuan": Family(
        "HunyuanVideoTransformer3DModel",
        CHANNELS_FIRST,
        widened="x_embedder.proj",
        blocks=("transformer_blocks", "single_transformer_blocks"),
        text_width="text_embed_dim",
        masked=True,
        arguments=_pooled_and_guidance,
        fixed={"image_condition_type": None},
        guidance=6.0,
    ),
    "mochi": Family(
        "MochiTransformer3DModel",
        CHANNELS_FIRST,
        widened="patch_embed.proj",
        blocks=("transformer_blocks",),
        text_width="text_embed_dim",
        masked=True,
        backwards=True,
    ),
    "cogvideox": Family(
        "CogVideoXTransformer3DModel",
        FRAMES_FIRST,
        widened="patch_embed.proj",
        blocks=("transformer_blocks",),
        text_width="text_embed_dim",
        text_rows="max_text_seq_length",
        arguments=_positions,
        fixed={"ofs_embed_dim": None, "use_learned_positional_embeddings": False},
        schedule={**cogvideox.SCHEDULER, "snr_shift_scale": 3.0},
    ),
}
"""By the key ``family``. Defaults are Wan 2.1 1.3B, SkyReels-V2 1.3B, SANA-Video 2B, LTX-Video 2B, HunyuanVideo 13B,
Mochi 1 and CogVideoX-2b."""
