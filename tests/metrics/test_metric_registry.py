import sys
import types

import numpy as np
import pytest
import torch

from adc.interfaces import FileMetric, WeightFile
from adc.metrics.registry import ALTERNATIVES, IMAGE, PAPERS, VIDEO, build, expand, find_metric, metrics
from adc.ops.clip import quantize


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))


def clips(frames=1, height=40, width=48):
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(1, frames, 3, height, width, generator=generator) * 2 - 1
    return quantize(reference + 0.2 * torch.randn(reference.shape, generator=generator)), quantize(reference)


def test_the_tables_of_the_papers_are_known():
    known = metrics()
    assert set(IMAGE) <= set(known)
    assert set(VIDEO) <= {*known, *ALTERNATIVES}
    assert {one for names in ALTERNATIVES.values() for one in names} <= set(known)


def test_the_columns_of_papers():
    assert expand(["dove"])[:5] == ["psnr_rgb", "ssim_yiq", "lpips", "dists", "clipiqa"]
    assert {"maniqa-pipal", "musiq"} <= {*expand(["adcvsr"])} and "niqe" not in expand(["adcvsr"])
    assert expand(["adcsr"]) == list(IMAGE)
    assert expand(["psnr_y", "duovsr", "niqe"])[0] == "psnr_y" and expand(["duovsr"]).count("niqe") == 1
    known = {*metrics(), *ALTERNATIVES}
    for name, columns in PAPERS.items():
        assert {*columns} <= known and name not in known


def test_sharpness_goes_with_every_warping_error():
    for name in ("ewarp", "ewarp_dis", "ewarp_raft", "ewarp_spynet"):
        assert expand([name]) == [name, "sharpness", "sharpness_ratio"]
    assert expand(["sharpness", "psnr_y", "ewarp", "psnr_y"]) == ["sharpness", "psnr_y", "ewarp", "sharpness_ratio"]


def test_an_unknown_name():
    with pytest.raises(ValueError, match="no metric 'lpip'; did you mean lpips"):
        expand(["lpip"])
    with pytest.raises(ValueError, match=r"no metric 'qqq'; there are .*dover, duovsr, ewarp, .*psnr_y"):
        expand(["qqq"])


def test_what_is_not_there_is_skipped_by_name_and_by_file():
    built, skipped = build(expand([*IMAGE, *VIDEO]))
    assert "psnr_y" in built
    files = {
        "lpips": "alexnet-owt-7be5be79.pth",
        "dists": "vgg16-397923af.pth",
        "fid": "pt_inception-2015-12-05-6726825d.pth",
        "niqe": "niqe_modelparameters.mat or niqe_pris_params.npz",
        "musiq": "musiq_koniq_ckpt-e95806b9.pth",
        "maniqa-pipal": "MANIQA_PIPAL-ae6d356b.pth",
        "clipiqa": "RN50.pt",
        "tlpips": "alexnet-owt-7be5be79.pth",
        "ewarp_raft": "raft_large_C_T_V1-22a6c225.pth",
        "ewarp_spynet": "spynet_sintel_final.pth",
    }
    for name, file in files.items():
        assert file in skipped[name] or "not installed" in skipped[name]
        assert name not in built


def test_the_first_estimator_that_is_there(tmp_path):
    from adc.metrics.flow import SpyNet

    pytest.importorskip("cv2")
    built, skipped = build(expand(["ewarp"]))
    assert list(built) == ["ewarp_dis", "sharpness", "sharpness_ratio"]
    assert list(skipped) == ["ewarp_raft", "ewarp_spynet"]
    torch.save(SpyNet().state_dict(), tmp_path / "spynet_sintel_final.pth")
    built, skipped = build(expand(["ewarp"]), tmp_path)
    assert list(built) == ["ewarp_spynet", "sharpness", "sharpness_ratio"]
    assert list(skipped) == ["ewarp_raft"]


def test_where_files_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    wanted = WeightFile(("a.pth", "b.pth"), "checkpoints")
    assert wanted.find(tmp_path) is None
    for place in ("home/hub/checkpoints/b.pth", "hub/checkpoints/a.pth", "checkpoints/a.pth", "a.pth"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
        assert wanted.find(tmp_path) == tmp_path / place


def test_a_border_is_left_out():
    restored, reference = clips()
    built, _ = build(["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "ssim_yiq"], border=4)
    whole, _ = build(list(built))
    spoilt = restored.clone()
    spoilt[..., :4, :] = spoilt[..., -4:] = 1
    for name, measure in built.items():
        assert measure(spoilt, reference).item() == measure(restored, reference).item()
        inside = [clip[..., 4:-4, 4:-4] for clip in (restored, reference)]
        assert measure(restored, reference).item() == whole[name](*inside).item()
    with pytest.raises(ValueError, match="a border of 20 leaves nothing of 48x40 pixels"):
        build(["psnr_y"], border=20)[0]["psnr_y"](restored, reference)


@pytest.mark.parametrize("border", [0, 3])
def test_the_same_figures_as_pyiqa(border):
    pyiqa = pytest.importorskip("pyiqa")
    restored, reference = clips()
    built, _ = build(["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "ssim_yiq"], border=border)
    published = {"test_y_channel": True, "color_space": "ycbcr"}
    theirs = {
        "psnr_y": ("psnr", published, 1e-3),
        "ssim_y": ("ssim", published, 1e-5),
        "psnr_rgb": ("psnr", {}, 1e-3),
        "ssim_rgb": ("ssimc", {}, 1e-5),
        "ssim_yiq": ("ssim", {}, 1e-5),
    }
    images = [clip[:, 0] * 0.5 + 0.5 for clip in (restored, reference)]
    for name, (metric, options, tolerance) in theirs.items():
        expected = pyiqa.create_metric(metric, device="cpu", crop_border=border, **options)(*images)
        assert built[name](restored, reference).item() == pytest.approx(expected.item(), abs=tolerance)


def test_niqe_finds_either_file(tmp_path):
    pytest.importorskip("pyiqa")
    np.savez(tmp_path / "niqe_pris_params.npz", mu_pris_param=np.zeros((1, 36)), cov_pris_param=np.eye(36))
    built, skipped = build(["niqe"], tmp_path)
    restored, reference = clips(height=200, width=192)
    assert not skipped
    assert built["niqe"](restored, reference).isfinite().all()


def test_sharpness_of_a_flat_reference():
    """Its flat frames are left out of the mean."""
    restored, reference = clips()
    measure = build(["sharpness_ratio"])[0]["sharpness_ratio"]
    assert measure(restored, restored).item() == 1
    assert measure(restored, torch.zeros_like(restored)).isnan().all()
    one, other = (torch.cat([torch.zeros_like(clip[:, :1]), clip], dim=1) for clip in (restored, reference))
    assert measure(one, other).item() == pytest.approx(measure(restored, reference).item())


class Judge(torch.nn.Module):
    """In the place of DOVER's network: the means of the two views."""

    def __init__(self, **options):
        super().__init__()
        self.options = options
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, views):
        return [self.weight * view.mean() for view in views.values()]


def test_dover_reads_files(tmp_path, monkeypatch):
    """Its package is not at hand: what it is given is checked, not what it says."""
    from adc.metrics.dover import fused

    asked = []

    def decompose(path, kinds, samplers):
        asked.append((path, {name: sampler.arguments for name, sampler in samplers.items()}))
        long, short = torch.full((3, 96, 8, 8), 123.675), torch.full((3, 32, 8, 8), 116.28)
        return {"technical": long, "aesthetic": short}, None

    class Sampler:
        def __init__(self, *arguments):
            self.arguments = arguments

    package = types.ModuleType("dover")
    package.__spec__ = types.SimpleNamespace(name="dover")
    models = types.SimpleNamespace(DOVER=Judge)
    datasets = types.SimpleNamespace(UnifiedFrameSampler=Sampler, spatial_temporal_view_decomposition=decompose)
    for name, module in (("dover", package), ("dover.models", models), ("dover.datasets", datasets)):
        monkeypatch.setitem(sys.modules, name, module)
    torch.save({"weight": torch.tensor(0.5)}, tmp_path / "DOVER.pth")
    built, skipped = build(["dover"], tmp_path)
    assert not skipped
    metric = built["dover"]
    assert isinstance(metric, FileMetric)
    value = metric.rate_file("clip.mp4")
    assert asked == [("clip.mp4", {"technical": (32, 3, 2), "aesthetic": (1, 32, 2, 1)})]
    mean, deviation = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    means = [((level - mean) / deviation).sum().item() for level in (123.675, 116.28)]
    assert value == pytest.approx(fused(*(0.5 * mean / 3 for mean in means)), abs=1e-6)


def test_dover_is_a_half_at_the_means_of_both_scores():
    from adc.metrics.dover import fused

    assert fused(0.1107, -0.08285) == 0.5
    # One deviation of the one score above its mean, then of the other: sigmoid(.6104), sigmoid(.3896).
    assert fused(0.1107 + 0.07355, -0.08285) == pytest.approx(0.648032, abs=1e-6)
    assert fused(0.1107, -0.08285 + 0.03774) == pytest.approx(0.596186, abs=1e-6)
    assert "exchanges the two heads" in find_metric("dover").options


def test_dover_that_is_not_installed():
    assert build(["dover"]) == ({}, {"dover": "dover is not installed"})


def test_names_of_options_say_which_estimator():
    for name, word in (("ewarp_raft", "raft_large"), ("ewarp_spynet", "SPyNet"), ("ewarp_dis", "DIS")):
        assert word in find_metric(name).options
