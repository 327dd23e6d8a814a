"""pyiqa's metrics with random weights in files of the published names: what is loaded, and from where."""

import pytest
import torch
from torch import nn

from adc.metrics.library import (
    ALEXNET,
    CLIP,
    INCEPTION,
    LPIPS,
    MANIQA,
    MUSIQ,
    VGG16,
    Lpips,
    MissingWeightsError,
    Musiq,
    clean_resize,
    only_these,
)
from adc.metrics.registry import build
from adc.ops.statistics import frechet_distance

pytest.importorskip("pyiqa")


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))


def save(network, path):
    """Random weights; what is large and linear is one number, spread out without being stored."""
    generator = torch.Generator().manual_seed(0)
    held = {}
    for name, value in network.state_dict().items():
        if value.numel() > 2_000_000:
            held[name] = torch.full((1,), 0.001).expand(value.shape)
        elif value.is_floating_point():
            fan = max(1, value[0].numel()) if value.ndim > 1 else 1
            noise = torch.randn(value.shape, generator=generator) / fan**0.5
            held[name] = noise.abs() + 0.5 if "running_var" in name else noise
        else:
            held[name] = value
    torch.save(held, path)
    return path


def clips(frames=1, height=96, width=112, seed=0):
    generator = torch.Generator().manual_seed(seed)
    reference = torch.rand(1, frames, 3, height, width, generator=generator) * 2 - 1
    return (reference + 0.2 * torch.randn(reference.shape, generator=generator)).clamp(-1, 1), reference


def alexnet(folder):
    from torchvision import models

    with torch.device("meta"):
        network = models.alexnet(weights=None)
    return save(network.to_empty(device="cpu"), folder / ALEXNET.names[0])


@pytest.mark.slow
def test_lpips_is_that_of_its_own_library(tmp_path):
    import lpips
    from torchvision import models

    file = alexnet(tmp_path)
    built, skipped = build(["lpips", "tlpips"], tmp_path)
    assert not skipped
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    backbone = models.alexnet(weights=None)
    backbone.load_state_dict(torch.load(file))
    for name, layer in backbone.features.named_children():
        for part in (getattr(theirs.net, f"slice{n}") for n in range(1, 6)):
            if name in dict(part.named_children()):
                part[[*dict(part.named_children())].index(name)].load_state_dict(layer.state_dict())
    restored, reference = clips(frames=2)
    with torch.no_grad():
        distances = theirs(restored[0], reference[0]).flatten()
        steps = [theirs(clip[:, 1], clip[:, 0]).item() for clip in (restored, reference)]
    assert distances.min() > 0
    assert built["lpips"](restored, reference).item() == pytest.approx(distances.mean().item(), rel=1e-5)
    assert built["tlpips"](restored, reference).item() == pytest.approx(abs(steps[0] - steps[1]), rel=1e-3, abs=1e-7)


@pytest.mark.slow
def test_fid_of_two_folders(tmp_path):
    from pyiqa.archs import inception

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_pretrained_network", lambda *_: None)
        save(inception.fid_inception_v3(), tmp_path / INCEPTION.names[0])
    measure = build(["fid"], tmp_path)[0]["fid"]
    pairs = [clips(seed=seed, height=40, width=60) for seed in range(3)]
    for restored, reference in pairs:
        measure.add(restored, reference)
    sides = [torch.cat([measure.features(pair[side]) for pair in pairs]) for side in (0, 1)]
    assert sides[0].shape == (3, 2048)
    assert measure.compute() == pytest.approx(frechet_distance(*sides))
    assert measure.compute() > 0
    measure.truncate(1)
    assert measure.count == 1
    with pytest.raises(ValueError, match="at least 2 samples each; got 1 and 1"):
        measure.compute()


def test_clean_resize_is_that_of_pyiqa(tmp_path):
    import numpy as np
    from PIL import Image
    from pyiqa.archs.fid_arch import ResizeDataset

    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    theirs = ResizeDataset([tmp_path / "a.png"], "clean")[0]
    ours = clean_resize(torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_dists_and_musiq_and_maniqa(tmp_path):
    import pyiqa.archs.maniqa_arch as maniqa
    import pyiqa.archs.musiq_arch as musiq
    from torchvision import models

    torch.manual_seed(0)
    with torch.device("meta"):
        backbone = models.vgg16(weights=None)
    save(backbone.to_empty(device="cpu"), tmp_path / VGG16.names[0])
    torch.save(
        {"alpha": torch.full((1, 1475, 1, 1), 0.1), "beta": torch.full((1, 1475, 1, 1), 0.1)},
        tmp_path / "DISTS_weights-f5e65c96.pth",
    )
    torch.save(musiq.MUSIQ(pretrained=False).state_dict(), tmp_path / MUSIQ.names[0])
    with only_these({}):
        network = maniqa.MANIQA(pretrained=False)
    torch.save(network.state_dict(), tmp_path / MANIQA.names[0])
    built, skipped = build(["dists", "musiq", "maniqa-pipal"], tmp_path)
    assert not skipped
    built["maniqa-pipal"].network.net.test_sample = 1
    restored, reference = clips(height=224, width=224)
    for name, measure in built.items():
        rate = measure(restored, reference)
        assert rate.shape == (1,), name
        assert rate.isfinite().all(), name
    loaded = built["maniqa-pipal"].network.net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_a_file_that_is_asked_for_and_not_there_is_not_fetched(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"alexnet-owt-7be5be79\.pth: not there; nothing is downloaded"):
        Lpips().load({LPIPS: LPIPS.find(None)})
    with only_these({}), pytest.raises(MissingWeightsError, match=r"x\.pth: not there"):
        torch.hub.load_state_dict_from_url("https://localhost/x.pth")


def test_broken_weights_are_told_by_file(tmp_path):
    for file in (ALEXNET, CLIP):
        (tmp_path / file.names[0]).write_text("no weights")
    for name, file in (("lpips", ALEXNET), ("clipiqa", CLIP)):
        with pytest.raises(ValueError, match=rf"{name}: .*{file.names[0]}.*: cannot be used"):
            build([name], tmp_path)
        assert (tmp_path / file.names[0]).read_text() == "no weights"


def test_libraries_are_left_as_they_were(tmp_path):
    import timm
    from pyiqa.utils import download_util

    before = (torch.hub._hub_dir, torch.hub.download_url_to_file, download_util.DEFAULT_CACHE_DIR, timm.create_model)
    with pytest.raises(KeyError), only_these({}):
        raise KeyError
    after = (torch.hub._hub_dir, torch.hub.download_url_to_file, download_util.DEFAULT_CACHE_DIR, timm.create_model)
    assert before == after


def test_the_mean_over_frames():
    class Brightness(nn.Module):
        def forward(self, picture):
            return picture.mean().reshape(1, 1)

    measure = Musiq()
    measure.network = Brightness()
    clip = torch.tensor([-1.0, 0.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 8, 8)
    assert measure(clip, clip).tolist() == [0.25]
