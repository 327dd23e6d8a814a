"""One-step restorers of videos: their formula, candidates, padding, folders, and long clips in chunks."""

from itertools import pairwise

import pytest
import torch
import yaml
from adc_tiny import TinyCausalAutoencoder, TinyConditioner, TinyDenoiser
from adc_wan import OneStepVideo, WanAutoencoder
from filming import film
from safetensors.torch import load_file
from torch import nn

from adc.inference.prepare import prepare
from adc.inference.restore import restore_image
from adc.inference.stream import stream
from adc.inference.tiles import plan_tiles
from adc.inference.upscaler import Upscaler
from adc.inference.video import upscale_video
from adc.interfaces import Denoiser, Student
from adc.media.video_reader import VideoReader
from adc.ops.clip import upsample_bicubic
from adc.ops.sampling import placed_noise
from adc.pruning import load_student, save_student
from adc.testing import check_restorer, check_student

VAE = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


def example(clips=1, frames=5, height=16, width=16):
    return torch.rand(clips, frames, 3, height, width, generator=torch.Generator().manual_seed(frames)) * 2 - 1


def wan_student():
    return OneStepVideo(TinyDenoiser(channels=16), TinyConditioner(autoencoder=WanAutoencoder(config=VAE))).eval()


class Deep(Denoiser):
    """Convolutions over frames and attention over the whole clip; half of what it adds to LR depends on the noise."""

    depth = 3

    def __init__(self, channels=24):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv3d(2 * channels, 24, (1, 3, 3), padding=(0, 1, 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Conv3d(24, 24, (3, 3, 3), padding=1)) for _ in range(self.depth)
        )
        self.attentions = nn.ModuleList(nn.Linear(24, 72) for _ in range(self.depth))
        self.last = nn.Conv3d(24, channels, 1)

    def forward(self, z_t, t, condition, taps=(), stop_early=False):
        x = self.first(torch.cat([z_t, condition["lr"]], dim=2).transpose(1, 2))
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = x + block(x)
            q, k, v = attention(x.flatten(2).transpose(1, 2)).chunk(3, dim=-1)
            mixed = nn.functional.scaled_dot_product_attention(3 * q, k, v)
            x = x + mixed.transpose(1, 2).unflatten(2, x.shape[2:])
        detail = self.last(x).transpose(1, 2)
        return z_t - condition["lr"] - 0.5 * detail / detail.std(dim=(1, 2, 3, 4), keepdim=True), []


def deep_student():
    return OneStepVideo(Deep(), TinyConditioner(autoencoder=TinyCausalAutoencoder())).eval()


def moving(frames):
    start, speed, shade = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return torch.stack([torch.sin(6 * start + 0.3 * speed * place) * shade for place in range(frames)])


def test_the_contract():
    check_student(OneStepVideo(TinyDenoiser(), TinyConditioner()))
    check_student(wan_student())
    check_restorer(deep_student())


def test_one_forward_at_the_noisiest_time():
    student = wan_student()
    seen = []
    student.denoiser.register_forward_pre_hook(lambda module, given: seen.append(given))
    lr = example(2)
    with torch.no_grad():
        latents = student.encode(lr)
    ((eps, t, condition),) = seen
    assert t.tolist() == [1, 1] and t.dtype == torch.float32
    torch.testing.assert_close(condition["lr"], student.conditioner.condition({"lr": lr})["lr"])
    with torch.no_grad():
        torch.testing.assert_close(latents, eps - student.denoiser(eps, t, condition)[0])
        torch.testing.assert_close(student.decode(latents), student.restore(lr))
    assert latents.shape == (2, 2, 16, 8, 8)
    assert abs(eps.std() - 1) < 0.1


@torch.no_grad()
def test_candidates_and_the_one_that_does_not_change():
    student, lr = wan_student(), example(3)

    def candidate(seed):
        return student.restore(lr, torch.Generator().manual_seed(seed))

    assert torch.equal(candidate(1), candidate(1))
    assert not torch.allclose(candidate(1), candidate(2))
    torch.manual_seed(5)
    plain = student.restore(lr)
    torch.manual_seed(6)
    assert torch.equal(student.restore(lr), plain)
    torch.testing.assert_close(student.restore(lr[[2, 0]]), plain[[2, 0]], atol=1e-5, rtol=0)
    same = student.restore(lr[:1].expand(2, -1, -1, -1, -1), torch.Generator().manual_seed(1))
    assert not torch.allclose(same[0], same[1])


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6])
@torch.no_grad()
def test_any_length_and_size(frames):
    student, lr = wan_student(), example(1, frames, 17, 18)
    padded = torch.cat([lr, lr[:, -1:].expand(-1, -(frames - 1) % 4, -1, -1, -1)], dim=1)
    padded = nn.functional.pad(padded, (0, 0, 0, 1, 0, 0), mode="replicate")
    assert student.multiple == 2
    assert student.encode(lr).shape == (1, 1 + -(-(frames - 1) // 4), 16, 9, 9)
    torch.testing.assert_close(student.restore(lr), student.restore(padded)[:, :frames, :, :68])


def test_noise_belongs_to_a_place_and_repeats_in_time():
    whole = placed_noise(torch.empty(1, 7, 3, 40, 50), [(0, 0)], 4)[0]
    assert torch.equal(whole[4:], whole[:3])
    assert not torch.allclose(whole[0], whole[1])
    places = [(0, 0), (15, 16), (24, 29), (0, 0)]
    parts = placed_noise(torch.empty(4, 2, 3, 16, 21), places, 4)
    for part, (top, left) in zip(parts, places, strict=True):
        assert torch.equal(part, whole[:2, :, top : top + 16, left : left + 21])
    assert whole.std() == pytest.approx(1, abs=0.01) and abs(whole.mean()) < 0.02
    blocks = whole[:4, :, :32, :48].unflatten(2, (2, 16)).unflatten(4, (3, 16)).permute(2, 4, 0, 1, 3, 5).flatten(2)
    assert (torch.corrcoef(blocks.flatten(0, 1)) - torch.eye(6)).abs().max() < 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@torch.no_grad()
def test_seams_of_tiles_cannot_be_found(precision):
    """All detail depends on the noise: where tiles fade into each other, it is as strong as elsewhere."""
    student = prepare(OneStepVideo(Deep(12), TinyConditioner()), precision)
    lr = upsample_bicubic(torch.rand(1, 1, 3, 10, 26, generator=torch.Generator().manual_seed(0)) * 2 - 1, 8)
    whole, tiled = restore_image(student, lr), restore_image(student, lr, tile=80, overlap=32)
    together = restore_image(student, lr, tile=80, overlap=32, batch=2)
    torch.testing.assert_close(together, tiled, atol=1e-4 if precision == "fp32" else 0.05, rtol=0)
    axis = plan_tiles(lr.shape[-1], 80, 32)
    assert len(axis.starts) == 4
    faded = torch.zeros(whole.shape[-1], dtype=torch.bool)
    for before, start in pairwise(axis.starts):
        middle = 2 * (before + axis.tile + start)
        faded[middle - 8 : middle + 8] = True
    detail = (tiled - upsample_bicubic(lr, 4)).square().mean((0, 1, 2, 3)).sqrt()
    assert detail[faded].mean() / detail[~faded].mean() == pytest.approx(1, abs=0.03)
    error = ((tiled - whole) / 2).square().mean((0, 1, 2, 3))
    assert -10 * error.mean().log10() > 37
    assert (error[faded].mean() / error[~faded].mean()).sqrt() < 1.2


@pytest.mark.parametrize("length", [90, 91, 105])
@torch.no_grad()
def test_seams_of_chunks_cannot_be_found(length):
    student, clip = deep_student(), moving(length)
    assert (student.temporal_context, student.temporal_stride) == (8, 4)
    whole = student.restore(clip[None])[0]
    assert (student.restore(clip[None], torch.Generator().manual_seed(1))[0] - whole).std() > 0.3 * whole.std()

    def psnr(*chunks):
        found = torch.stack(list(stream(student.restore, clip, *chunks)))
        return -10 * ((found - whole) / (whole.max() - whole.min())).square().mean((1, 2, 3)).max().log10()

    assert psnr(25, 9, True) > 38
    assert psnr(25, 9, False) < 25 or length % 16 == 9
    assert psnr(25, 0, True) < 25


def test_chunks_of_a_video_have_legal_lengths_and_fit(tmp_path, monkeypatch):
    source, shown = tmp_path / "a.mp4", []
    film(source, list((moving(60) * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).numpy()))
    student = deep_student()

    def restore(lr):
        shown.append(lr.shape[1])
        return student.restore(lr)

    restore.temporal_context, restore.temporal_stride = student.temporal_context, student.temporal_stride
    upscale_video(source, tmp_path / "b.mkv", restore, codec="ffv1", layout="bgr0")
    assert shown[2:] == [25, 25, 25, 12]
    with VideoReader(source) as small, VideoReader(tmp_path / "b.mkv") as large:
        clip = torch.stack([frame.pixels for frame in small.frames()])
        found = torch.stack([frame.pixels for frame in large.frames()])
    with torch.no_grad():
        whole = student.restore(clip[None])[0].clamp(-1, 1)
    assert found.shape == (60, 3, 64, 64)
    assert (found - whole).square().mean((1, 2, 3)).max() < 0.01


@torch.no_grad()
def test_a_folder_holds_everything_once(tmp_path):
    student = OneStepVideo(
        TinyDenoiser(channels=16, seed=3),
        TinyConditioner(negative="soft", autoencoder=WanAutoencoder(config=VAE, seed=4)),
    ).eval()
    save_student(student, tmp_path / "student")
    description = yaml.safe_load((tmp_path / "student/student.yaml").read_text())
    assert list(description) == ["format", "class_path", "scale", "color_matching", "init_args", "crc32"]
    conditioner = description["init_args"]["conditioner"]
    assert conditioner["class_path"] == "adc_tiny.diffusion.TinyConditioner"
    assert conditioner["init_args"]["autoencoder"]["init_args"] == {"source": None, "config": {**VAE, **_rest()}}
    held = load_file(tmp_path / "student/model.safetensors")
    assert sum(tensor.numel() for tensor in held.values()) == sum(p.numel() for p in student.parameters())
    assert sum(name.startswith("conditioner.autoencoder.") for name in held) == len(
        student.conditioner.autoencoder.state_dict()
    )
    found = load_student(str(tmp_path / "student")).eval()
    assert isinstance(found, OneStepVideo) and found.conditioner.negative == "soft"
    lr = example(1, 6, 17, 16)
    for seed in (None, 1):  # what is read from a file lies elsewhere in memory, which may change the last bit
        one, other = (which.restore(lr, seed and _seed(seed)) for which in (found, student))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    upscaler = Upscaler(tmp_path / "student", "cpu", _options())
    assert (upscaler.temporal_context, upscaler.temporal_stride) == (8, 4)
    torch.testing.assert_close(upscaler(lr), student.restore(lr).clamp(-1, 1), atol=1e-4, rtol=0)


def _rest():
    return {key: value for key, value in WanAutoencoder(config=VAE).config.items() if key not in VAE}


def _seed(seed):
    return torch.Generator().manual_seed(seed)


def _options():
    from adc.inference.options import UpscaleOptions

    return UpscaleOptions()


class Silent(TinyDenoiser):
    def __init__(self):
        super().__init__()
        self.init_args = None


def test_what_cannot_be_described(tmp_path):
    with pytest.raises(ValueError, match="Silent has no `init_args`"):
        save_student(OneStepVideo(Silent(), TinyConditioner()), tmp_path / "none")
    save_student(OneStepVideo(TinyDenoiser(), TinyConditioner()), tmp_path / "student")
    file = tmp_path / "student/student.yaml"
    plain = file.read_text()
    for old, new, message in (
        ("adc_tiny.diffusion.TinyDenoiser", "nowhere.Net", "there is no class 'nowhere.Net'"),
        ("adc_tiny.diffusion.TinyDenoiser", "builtins.dict", "'builtins.dict' is no Module"),
        ("width: 16", "wide: 16", "init_args: .*wide"),
        ("adc_wan.student.OneStepVideo", "adc_tiny.TinyDenoiser", "'adc_tiny.TinyDenoiser' is no Student"),
    ):
        file.write_text(plain.replace(old, new))
        with pytest.raises(ValueError, match=rf"student\.yaml: .*{message}"):
            load_student(str(tmp_path / "student"))
    assert issubclass(OneStepVideo, Student)
