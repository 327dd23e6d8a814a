"""Tiny video transformers of every family, and what they are given."""

import pytest
import torch
from adc_tiny import TinyAutoencoder
from adc_video import VideoDenoiser
from adc_video.families import FAMILIES
from adc_wan import WanConditioner

WIDTH, ROWS, CHANNELS = 16, 6, 12
HEADS = {"in_channels": CHANNELS, "out_channels": CHANNELS, "num_attention_heads": 2, "attention_head_dim": 12}
WAN = {**HEADS, "ffn_dim": 32, "num_layers": 3, "text_dim": WIDTH, "rope_max_seq_len": 32}
COGVIDEOX = {
    **HEADS,
    "attention_head_dim": 16,
    "time_embed_dim": 8,
    "text_embed_dim": WIDTH,
    "num_layers": 3,
    "sample_width": 8,
    "sample_height": 8,
    "sample_frames": 9,
    "max_text_seq_length": ROWS,
}
HUNYUAN = {
    **HEADS,
    "num_layers": 2,
    "num_single_layers": 2,
    "num_refiner_layers": 1,
    "text_embed_dim": WIDTH,
    "pooled_projection_dim": 8,
    "rope_axes_dim": [4, 4, 4],
}
SANA = {
    **HEADS,
    "num_layers": 3,
    "num_cross_attention_heads": 2,
    "cross_attention_head_dim": 12,
    "cross_attention_dim": 24,
    "caption_channels": WIDTH,
    "rope_max_seq_len": 32,
}
MOCHI = {**HEADS, "num_layers": 3, "pooled_projection_dim": WIDTH, "text_embed_dim": WIDTH, "time_embed_dim": 8}
TINY = {
    "wan21": ("wan21", WAN),
    "skyreels_v2": ("skyreels_v2", WAN),
    "sana_video": ("sana_video", SANA),
    "ltx": ("ltx", {**HEADS, "cross_attention_dim": 24, "caption_channels": WIDTH, "num_layers": 3}),
    "hunyuan": ("hunyuan", HUNYUAN),
    "mochi": ("mochi", MOCHI),
    "cogvideox": ("cogvideox", COGVIDEOX),
    "cogvideox 5b": ("cogvideox", {**COGVIDEOX, "use_rotary_positional_embeddings": True}),
    "cogvideox 1.5": ("cogvideox", {**COGVIDEOX, "use_rotary_positional_embeddings": True, "patch_size_t": 2}),
}
STRAIGHT = [name for name in TINY if FAMILIES[TINY[name][0]].schedule is None]
every = pytest.mark.parametrize("name", TINY)


def tiny(name, **options):
    import diffusers

    family, config = TINY[name]
    if not hasattr(diffusers, FAMILIES[family].network):
        pytest.skip(f"diffusers {diffusers.__version__} has no {FAMILIES[family].network}")
    return VideoDenoiser(family, config=config, **options).eval()


def inputs(clips=2, frames=4, height=4, width=6):
    generator = torch.Generator().manual_seed(0)
    z_t, lr = (torch.randn(clips, frames, CHANNELS, height, width, generator=generator) for _ in range(2))
    text = torch.randn(clips, ROWS, WIDTH, generator=generator)
    text[0, 3:] = 0
    return z_t, torch.rand(clips, generator=generator), {"text": text, "lr": lr}


def conditioner():
    return WanConditioner(TinyAutoencoder(), text="sharp", length=ROWS, width=WIDTH)
