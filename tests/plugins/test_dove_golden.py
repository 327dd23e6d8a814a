"""DOVE against outputs of its published code, and against a plain rendering of the same on other shapes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import check_golden

        yield check_golden
    finally:
        sys.path.remove(str(ROOT / "tools"))


def deviation(tool, path):
    result = tool.check(path, lambda line: None)
    assert set(result["deviations"]) == {"restored"}
    assert result["passed"] == (
        result["deviations"]["restored"]["deviation"] <= result["deviations"]["restored"]["tolerance"]
    )
    return result["deviations"]["restored"]


def test_the_published_output(tool):
    found = deviation(tool, GOLDEN / "dove_tiny_9f.safetensors")
    assert found["measure"] == "largest difference"
    assert found["deviation"] < 1e-4


def test_the_published_output_in_bfloat16(tool):
    found = deviation(tool, GOLDEN / "dove_tiny_9f_bf16.safetensors")
    assert found["measure"] == "relative difference"
    assert found["deviation"] < 2e-2


def published(lr, prompt, facts, pad):
    """The steps of the published script, in its order and on diffusers' own classes."""
    from _seeded import seeded_like
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDPMScheduler, CogVideoXTransformer3DModel
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    vae, net = AutoencoderKLCogVideoX(**facts["vae"]), CogVideoXTransformer3DModel(**facts["transformer"])
    vae.load_state_dict(seeded_like(vae.state_dict(), "vae."))
    net.load_state_dict(seeded_like(net.state_dict(), "transformer."))
    frames = [*lr[0].numpy()] + [lr[0, -1].numpy()] * ((1 - lr.shape[1]) % 8)
    right, bottom = ((16 - side % 16) % 16 if pad else 0 for side in (lr.shape[4], lr.shape[3]))
    video = torch.from_numpy(np.pad(np.stack(frames), ((0, 0), (0, 0), (0, bottom), (0, right))))
    size = [4 * side for side in video.shape[2:]]
    video = torch.nn.functional.interpolate(video, size=size, mode="bilinear", align_corners=False) * 2 - 1
    latent = vae.encode(video.permute(1, 0, 2, 3)[None]).latent_dist.mean * 0.7
    latent = latent.permute(0, 2, 1, 3, 4)
    assert latent.shape[1] % 2 == 1
    latent = torch.cat([latent[:, :1], latent], dim=1)
    grid = latent.shape[3] // 2, latent.shape[4] // 2
    size = facts["transformer"]["attention_head_dim"], None, grid, latent.shape[1] // 2
    rotary = get_3d_rotary_pos_embed(*size, grid_type="slice", max_size=grid)
    step = torch.tensor([399])
    velocity = net(latent, prompt, step, image_rotary_emb=rotary).sample
    clean = CogVideoXDPMScheduler(**facts["scheduler"]).get_velocity(velocity, latent, step)[:, 1:]
    restored = (vae.decode(clean.permute(0, 2, 1, 3, 4) / 0.7).sample * 0.5 + 0.5).clamp(0, 1)
    return restored[:, :, : lr.shape[1], : 4 * lr.shape[3], : 4 * lr.shape[4]].contiguous()


@pytest.mark.parametrize(
    ("frames", "height", "width", "pad"),
    [(17, 16, 32, False), (1, 24, 16, False), (12, 16, 20, True), (2, 17, 15, True), (9, 16, 24, False)],
)
@torch.no_grad()
def test_other_lengths_and_shapes(tool, tmp_path, frames, height, width, pad):
    golden = load_file(GOLDEN / "dove_tiny_9f.safetensors")
    facts = json.loads((GOLDEN / "dove_tiny_9f.json").read_text())
    lr = torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(frames))
    tensors = {"lr": lr, "prompt": golden["prompt"], "restored": published(lr, golden["prompt"], facts, pad)}
    save_file(tensors, tmp_path / "other.safetensors")
    (tmp_path / "other.json").write_text(json.dumps(facts))
    assert deviation(tool, tmp_path / "other.safetensors")["deviation"] < 1e-4


def test_another_output_does_not_pass(tool, tmp_path):
    golden = load_file(GOLDEN / "dove_tiny_9f.safetensors")
    golden["restored"][0, 0, 0, 0, 0] += 0.01
    save_file(golden, tmp_path / "other.safetensors")
    (tmp_path / "other.json").write_text((GOLDEN / "dove_tiny_9f.json").read_text())
    assert not tool.check(tmp_path / "other.safetensors", lambda line: None)["passed"]
