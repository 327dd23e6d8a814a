"""Wan's autoencoder against outputs of its published code, and against diffusers' own way through the network."""

import json
import sys
from pathlib import Path

import pytest
import torch
from adc_wan import WanAutoencoder
from adc_wan.convert_vae import is_original, vae_to_diffusers, vae_to_original
from safetensors.torch import save_file

from adc.testing import check_autoencoder

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/wan_vae_tiny_9f.safetensors"
TINY = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import check_golden

        yield check_golden
    finally:
        sys.path.remove(str(ROOT / "tools"))


def clip(frames, height=16, width=24, clips=1):
    return torch.rand(clips, frames, 3, height, width, generator=torch.Generator().manual_seed(frames)) * 2 - 1


def worst(tool, path=GOLDEN):
    return {name: entry["deviation"] for name, entry in tool.check(path, lambda line: None)["deviations"].items()}


def test_the_published_outputs(tool):
    result = tool.check(GOLDEN, lambda line: None)
    assert result["passed"]
    outputs = ("posterior_mean", "latent", "latent_of_first_frame", "decoded", "decoded_of_half")
    assert set(result["deviations"]) == {name + way for name in outputs for way in ("", " (diffusers)")}
    assert max(worst(tool).values()) < 2e-5


def test_a_clamp_is_found(tool, monkeypatch):
    decode = WanAutoencoder.decode
    monkeypatch.setattr(WanAutoencoder, "decode", lambda self, latent: decode(self, latent).clamp(-1, 1))
    assert {name.split()[0] for name, off in worst(tool).items() if off > 0.1} == {"decoded", "decoded_of_half"}


def test_a_latent_that_is_not_normalised_is_found(tool, monkeypatch):
    monkeypatch.setattr(WanAutoencoder, "_statistics", lambda self, like: (like.new_zeros(()), like.new_ones(())))
    assert worst(tool)["latent"] > 0.1


def test_a_latent_that_is_drawn_is_found(tool, monkeypatch):
    encode = WanAutoencoder.encode
    monkeypatch.setattr(
        WanAutoencoder, "encode", lambda self, pixels: (mean := encode(self, pixels)) + torch.randn_like(mean) * 0.01
    )
    assert worst(tool)["posterior_mean"] > 1e-3


@torch.no_grad()
def published(pixels, config, weights):
    """What a golden file of other sizes holds, and clamped pixels, by diffusers' own methods."""
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(**config).eval()
    vae.load_state_dict(vae_to_diffusers(weights))
    mean = vae.encode(pixels).latent_dist.mean
    centre, scale = (torch.tensor(vae.config[f"latents_{name}"]).view(1, -1, 1, 1, 1) for name in ("mean", "std"))
    latent = (mean - centre) / scale
    return {"pixels": pixels, "posterior_mean": mean, "latent": latent}, vae.decode(mean).sample


@pytest.mark.parametrize(
    ("config", "clips", "frames"),
    [({"base_dim": 4, "num_res_blocks": 1}, 3, 13), ({**TINY, "base_dim": 6}, 2, 1), ({"base_dim": 4}, 1, 5)],
)
def test_other_lengths_widths_and_depths(tool, tmp_path, config, clips, frames):
    from _golden_wan_vae import seeded_weights

    weights = seeded_weights(config)
    tensors, clamped = published(clip(frames, 24, 16, clips).transpose(1, 2).contiguous(), config, weights)
    assert (clamped.abs() < 1).float().mean() > 0.2
    facts = {"diffusers": config, "tolerances": json.loads(GOLDEN.with_suffix(".json").read_text())["tolerances"]}
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "other.safetensors")
    (tmp_path / "other.json").write_text(json.dumps(facts))
    found = worst(tool, tmp_path / "other.safetensors")
    assert len(found) == 4
    assert max(found.values()) < 1e-4
    torch.save(weights, tmp_path / "vae.pth")
    with torch.no_grad():
        decoded = WanAutoencoder(str(tmp_path / "vae.pth"), config).decode(tensors["latent"].transpose(1, 2))
    torch.testing.assert_close(decoded.transpose(1, 2).clamp(-1, 1), clamped, atol=1e-4, rtol=0)


def test_the_contract():
    check_autoencoder(WanAutoencoder(config=TINY))


def test_sizes():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in WanAutoencoder().parameters()) == 126_892_531
    tiny = WanAutoencoder(config=TINY)
    assert sum(parameter.numel() for parameter in tiny.parameters()) == 13_861
    assert (tiny.strides, tiny.config["z_dim"]) == ((4, 8), 16)


def test_other_strides_and_patches():
    wan22 = {"base_dim": 4, "decoder_base_dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "patch_size": 2}
    wan22 |= {"in_channels": 12, "out_channels": 12, "is_residual": True}
    images = {**TINY, "temperal_downsample": [False, False, True]}
    for config, strides in ((wan22, (4, 16)), (images, (2, 8))):
        autoencoder = WanAutoencoder(config=config)
        assert autoencoder.strides == strides
        pixels = clip(1 + 2 * strides[0], 32, 32)
        with torch.no_grad():
            latent = autoencoder.encode(pixels)
            assert latent.shape == (1, 3, 16, 32 // strides[1], 32 // strides[1])
            assert autoencoder.decode(latent).shape == pixels.shape
    with torch.no_grad():
        autoencoder = WanAutoencoder(config=wan22)
        mean = autoencoder.vae.encode(pixels := clip(9, 32, 32).transpose(1, 2)).latent_dist.mean
        plain = autoencoder.vae.decode(mean).sample.transpose(1, 2)
        latent = autoencoder.encode(pixels.transpose(1, 2))
    torch.testing.assert_close(autoencoder.decode(latent).clamp(-1, 1), plain, atol=1e-5, rtol=0)


def test_names_there_and_back():
    for config in ({}, TINY, {"base_dim": 4, "num_res_blocks": 3, "dim_mult": [1, 2]}):
        with torch.device("meta"):
            ours = WanAutoencoder(config=config).vae.state_dict()
        original = vae_to_original(ours)
        assert is_original(original) and not is_original(ours)
        assert len(original) == len(ours)
        assert {name: tensor.shape for name, tensor in vae_to_diffusers(original).items()} == {
            name: tensor.shape for name, tensor in ours.items()
        }
    assert "decoder.upsamples.7.time_conv.weight" in vae_to_original(
        {"decoder.up_blocks.1.upsamplers.0.time_conv.weight": 0, "decoder.up_blocks.0.resnets.2.conv1.weight": 0}
    )


def test_lengths_and_sides_that_do_not_fit_are_refused_in_one_sentence():
    autoencoder = WanAutoencoder(config=TINY)
    with pytest.raises(ValueError, match=r"takes 1 \+ 4 n frames, not 10; cut or pad the clip to 9 or 13\.$"):
        autoencoder.encode(clip(10))
    with pytest.raises(ValueError, match=r"frames of 24x20; WanAutoencoder takes multiples of 8"):
        autoencoder.encode(clip(5, 20))


def test_streaming_equals_the_whole_and_calls_may_be_nested():
    autoencoder = WanAutoencoder(config=TINY).eval()
    with torch.no_grad():
        one, other = (autoencoder.encode(clip(frames)) for frames in (9, 17))
        whole = autoencoder.decode(one), autoencoder.decode(other)
        streams = [autoencoder.decode_stream(latent.split(1, dim=1)) for latent in (one, other)]
        found = [[], []]
        for _ in range(5):
            for stream, parts in zip(streams, found, strict=True):
                parts.extend(part for part in [next(stream, None)] if part is not None)
    assert [part.shape[1] for part in found[1]] == [1, 4, 4, 4, 4]
    for expected, parts in zip(whole, found, strict=True):
        assert torch.equal(torch.cat(parts, dim=1), expected)


def test_streaming_asks_for_a_latent_when_it_is_needed():
    autoencoder, asked = WanAutoencoder(config=TINY).eval(), []

    def latents():
        for index in range(50):
            asked.append(index)
            yield torch.zeros(1, 1, 16, 2, 2)

    with torch.no_grad():
        stream = autoencoder.decode_stream(latents())
        assert [len(asked) for _ in zip(range(50), stream, strict=False)] == list(range(1, 51))


def test_gradients_reach_latents_from_pixels_beyond_the_range():
    autoencoder = WanAutoencoder(config=TINY)
    with torch.no_grad():
        autoencoder.vae.decoder.conv_out.bias += 4
    latent = torch.randn(1, 3, 16, 2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    decoded = autoencoder.decode(latent)
    assert decoded.min() > 1
    decoded.square().sum().backward()
    assert all(latent.grad[:, frame].abs().max() > 0 for frame in range(3))


def test_sources_and_seeds(tmp_path):
    drawn = WanAutoencoder(config=TINY)
    state = torch.random.get_rng_state()
    again, other = WanAutoencoder(config=TINY), WanAutoencoder(config=TINY, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    names = drawn.vae.state_dict()
    assert all(torch.equal(tensor, again.vae.state_dict()[name]) for name, tensor in names.items())
    assert not torch.equal(drawn.vae.quant_conv.weight, other.vae.quant_conv.weight)
    drawn.save_pretrained(str(tmp_path))
    torch.save(vae_to_original(names), tmp_path / "Wan2.1_VAE.pth")
    save_file(vae_to_original(names), tmp_path / "original.safetensors")
    save_file(names, tmp_path / "diffusers.safetensors")
    for source, config in (
        (tmp_path, None),
        (tmp_path / "vae", None),
        *((tmp_path / name, TINY) for name in ("Wan2.1_VAE.pth", "original.safetensors", "diffusers.safetensors")),
    ):
        found = WanAutoencoder(str(source), config)
        assert found.config == drawn.config
        assert all(torch.equal(tensor, found.vae.state_dict()[name]) for name, tensor in names.items())
        assert all(parameter.requires_grad for parameter in found.parameters())
    with pytest.raises(ValueError, match=r"config: .* leave one of the two out"):
        WanAutoencoder(str(tmp_path), TINY)
    with pytest.raises(ValueError, match="does not fit AutoencoderKLWan"):
        WanAutoencoder(str(tmp_path / "Wan2.1_VAE.pth"), {"base_dim": 3})
    with pytest.raises(ValueError, match="config: unknown entry 'width'"):
        WanAutoencoder(config={"width": 3})
    with pytest.raises(ValueError, match="latents_mean has 16 entries for z_dim 8"):
        WanAutoencoder(config={**TINY, "z_dim": 8})
    with pytest.raises(FileNotFoundError, match=r"source: .*no vae/config\.json"):
        WanAutoencoder(str(ROOT / "recipes"))
