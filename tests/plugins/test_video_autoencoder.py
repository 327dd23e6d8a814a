"""The autoencoders of other video families: their lengths, their scale, their folders."""

import json

import pytest
import torch
from adc_video import VideoAutoencoder, VideoDenoiser
from adc_wan import WanConditioner

from adc.inference.latent import LatentDiffusion
from adc.testing import check_autoencoder

TINY = {
    "ltx": {
        "block_out_channels": [8] * 4,
        "decoder_block_out_channels": [8] * 4,
        "latent_channels": 4,
        "layers_per_block": [1] * 5,
        "decoder_layers_per_block": [1] * 5,
        "scaling_factor": 1.25,
    },
    "hunyuan": {"block_out_channels": [8] * 4, "layers_per_block": 1, "norm_num_groups": 2, "latent_channels": 4},
    "mochi": {
        "encoder_block_out_channels": [32] * 4,
        "decoder_block_out_channels": [32] * 4,
        "layers_per_block": [1] * 5,
        "latent_channels": 4,
        "latents_mean": [0.1, -0.2, 0.3, 0.4],
        "latents_std": [1.0, 2.0, 0.5, 0.7],
        "scaling_factor": 0.8,
    },
    "cogvideox": {"block_out_channels": [8] * 4, "layers_per_block": 1, "norm_num_groups": 2, "latent_channels": 4},
}
STRIDES = {"ltx": (8, 32), "hunyuan": (4, 8), "mochi": (6, 8), "cogvideox": (4, 8)}
LTX_STATISTICS = [0.5, -0.5, 0.25, 0.0], [2.0, 1.0, 0.5, 1.5]
every = pytest.mark.parametrize("family", TINY)


def tiny(family):
    made = VideoAutoencoder(family, config=TINY[family]).eval()
    if family == "ltx":
        made.vae.latents_mean.copy_(torch.tensor(LTX_STATISTICS[0]))
        made.vae.latents_std.copy_(torch.tensor(LTX_STATISTICS[1]))
    return made


def clip(family, latents):
    frames, side = STRIDES[family]
    shape = 1, 1 + frames * (latents - 1), 3, side, 2 * side
    return torch.rand(shape, generator=torch.Generator().manual_seed(latents)) * 2 - 1


def published(family, mean):
    """The latents of the family's pipelines, from a mean ``(1, Z, T', h, w)``."""
    if family == "ltx":
        centre, deviation = (torch.tensor(numbers).view(1, 4, 1, 1, 1) for numbers in LTX_STATISTICS)
        return (mean - centre) * 1.25 / deviation
    if family == "mochi":
        centre, deviation = (
            torch.tensor(TINY["mochi"][f"latents_{name}"]).view(1, 4, 1, 1, 1) for name in ("mean", "std")
        )
        return (mean - centre) / (deviation / 0.8)
    return mean * {"hunyuan": 0.476986, "cogvideox": 1.15258426}[family]


@every
def test_contract(family):
    made = tiny(family)
    assert made.strides == STRIDES[family]
    check_autoencoder(made, size=2 * STRIDES[family][1])


@every
@torch.no_grad()
def test_latents_and_pixels_are_those_of_the_pipelines(family):
    made, pixels = tiny(family), clip(family, 3)
    mean = made.vae.encode(pixels.transpose(1, 2)).latent_dist.mean
    latents = made.encode(pixels)
    torch.testing.assert_close(latents.transpose(1, 2), published(family, mean))
    assert (latents.transpose(1, 2) - mean).abs().max() > 0.01
    torch.testing.assert_close(made.decode(latents).transpose(1, 2), made.vae.decode(mean).sample, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_even_number_of_latents_of_cogvideox():
    made = tiny("cogvideox")
    latents = made.encode(clip("cogvideox", 4))
    pixels = made.decode(latents)
    assert pixels.shape[1] == 13
    assert torch.equal(pixels, made.decode(torch.cat([latents[:, :1], latents], dim=1))[:, 4:])


@every
def test_other_lengths_and_sizes_are_refused(family):
    made, pixels = tiny(family), clip(family, 2)
    with pytest.raises(ValueError, match=rf"VideoAutoencoder takes 1 \+ {STRIDES[family][0]} n frames"):
        made.encode(pixels[:, 1:])
    with pytest.raises(ValueError, match=rf"takes multiples of {STRIDES[family][1]}"):
        made.encode(pixels[..., 1:])


@every
def test_a_folder_of_diffusers_comes_back(family, tmp_path):
    made = tiny(family)
    made.save_pretrained(str(tmp_path))
    again = VideoAutoencoder(family, str(tmp_path)).eval()
    pixels = clip(family, 2)
    with torch.no_grad():
        torch.testing.assert_close(again.encode(pixels), made.encode(pixels))
    held = json.loads((tmp_path / "vae" / "config.json").read_text())
    assert again.config == {key: value for key, value in held.items() if key != "_class_name"}
    other = "mochi" if family != "mochi" else "ltx"
    with pytest.raises(ValueError, match=rf"config.json: a {held['_class_name']}, but this family has"):
        VideoAutoencoder(other, str(tmp_path))


def test_slips_are_named(tmp_path):
    with pytest.raises(ValueError, match="family: 'wan21'; one of ltx, hunyuan, mochi, cogvideox"):
        VideoAutoencoder("wan21")
    with pytest.raises(ValueError, match="config: unknown entry 'block_channels'"):
        VideoAutoencoder("ltx", config={"block_channels": [1]})
    with pytest.raises(ValueError, match="timestep_conditioning is True; VideoAutoencoder takes networks with False"):
        VideoAutoencoder("ltx", config={"timestep_conditioning": True})
    with pytest.raises(FileNotFoundError, match=r"no vae/config\.json there"):
        VideoAutoencoder("ltx", str(tmp_path))


def test_a_denoiser_of_the_family_samples_its_latents():
    config = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "cross_attention_dim": 24,
        "caption_channels": 16,
        "num_layers": 1,
    }
    conditioner = WanConditioner(tiny("ltx"), text="sharp", length=6, width=16)
    restorer = LatentDiffusion(VideoDenoiser("ltx", config=config), conditioner, steps=2).eval()
    with torch.no_grad():
        large = restorer.restore(torch.rand(1, 9, 3, 8, 16) * 2 - 1, torch.Generator().manual_seed(0))
    assert large.shape == (1, 9, 3, 32, 64) and large.isfinite().all()
