"""Perceptual losses and metrics on the VGG16 of a file."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import conv2d, max_pool2d

from adc.losses import DISTS, LPIPS, VGGFeatures
from adc.metrics.registry import build
from adc.vgg16 import convolutions, load_vgg16, origin

PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
POOLS = (4, 9, 16, 23)


@pytest.fixture(scope="module")
def tensors():
    generator, tensors, channels = torch.Generator().manual_seed(0), {}, 3
    for place, width in zip(PLACES, WIDTHS, strict=True):
        scale = (2 / (9 * channels)) ** 0.5
        tensors[f"features.{place}.weight"] = torch.randn(width, channels, 3, 3, generator=generator) * scale
        tensors[f"features.{place}.bias"] = torch.randn(width, generator=generator) * 0.1
        channels = width
    return tensors


@pytest.fixture(scope="module")
def file(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16_of_seed.safetensors"
    save_file({name: tensor.half() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(1, 2, 3, 40, 48, generator=generator) * 2 - 1
    return first, (first + 0.1 * torch.randn(first.shape, generator=generator)).clamp(-1, 1)


def by_hand(tensors, images):
    """Outputs of the convolutions, before their activations, by their places."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, found = ((images + 1) / 2 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1), {}
    for place in range(30):
        if place in PLACES:
            weight, bias = (tensors[f"features.{place}.{part}"].half().float() for part in ("weight", "bias"))
            x = found[place] = conv2d(x, weight, bias, padding=1)
        else:
            x = max_pool2d(x, 2) if place in POOLS else x.relu()
    return found


def test_features_in_closed_form(file, tensors, clips):
    first, second = (by_hand(tensors, clip.flatten(0, 1)) for clip in clips)
    weights = {2: 0.1, 7: 0.1, 14: 1.0, 21: 1.0, 28: 1.0}
    expected = sum(weight * (first[place] - second[place]).abs().mean() for place, weight in weights.items())
    loss = VGGFeatures(str(file))
    assert loss(*clips) == pytest.approx(float(expected), rel=1e-5)
    assert loss(clips[0], clips[0]) == 0
    one = VGGFeatures(str(file), layers={"conv2_1": 2.0})
    assert one(*clips) == pytest.approx(float(2 * (first[5] - second[5]).abs().mean()), rel=1e-5)
    assert len(one.features) == 6


def test_names_of_the_paper(file):
    names = convolutions(load_vgg16(file))
    assert tuple(names.values()) == PLACES
    assert list(names)[:3] == ["conv1_1", "conv1_2", "conv2_1"] and list(names)[-1] == "conv5_3"


@pytest.mark.parametrize("kind", [LPIPS, DISTS, VGGFeatures])
def test_a_loss_has_a_gradient_and_frozen_weights_whatever_the_autocast(file, clips, kind):
    if kind is DISTS:
        pytest.importorskip("DISTS_pytorch")
    loss = kind(vgg16=str(file))
    prediction = clips[0].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(prediction, clips[1])
    value.backward()
    assert value > 0 and value.dtype == torch.float32 and prediction.grad.abs().sum() > 0
    assert abs(loss(clips[0], clips[0])) < 1e-6
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_nothing_is_fetched_and_torchvision_stays_as_it_is(file, monkeypatch):
    import torchvision

    def refuse(*_, **__):
        raise AssertionError("a download")

    before = torchvision.models.vgg16
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    LPIPS(vgg16=str(file))
    assert torchvision.models.vgg16 is before


def test_metrics_name_the_file(file, clips):
    pytest.importorskip("pyiqa")
    pytest.importorskip("DISTS_pytorch")
    built, skipped = build(["lpips_vgg", "dists"], file.parent)
    assert not skipped
    for metric, loss in ((built["lpips_vgg"], LPIPS), (built["dists"], DISTS)):
        assert metric(*clips).shape == (1,)
        torch.testing.assert_close(metric(*clips).mean(), loss(vgg16=str(file))(*clips))
        assert metric.title.endswith(", other VGG16")
        assert f"VGG16 of another training (vgg16_of_seed.safetensors, SHA-256 {sha(file)})" in metric.options


def sha(file):
    from hashlib import sha256

    return sha256(file.read_bytes()).hexdigest()[:8]


def test_torchvisions_file_is_known_by_its_hash(tmp_path, monkeypatch):
    path = tmp_path / "vgg16-397923af.pth"
    path.write_bytes(b"anything")
    assert origin(path).startswith("VGG16 of another training (vgg16-397923af.pth, SHA-256 ")
    monkeypatch.setattr("adc.vgg16.HASH", sha(path))
    assert origin(path) == "VGG16"


def test_what_is_no_vgg16_is_one_line(tmp_path, tensors, file):
    missing = {name: tensor for name, tensor in tensors.items() if name != "features.28.bias"}
    save_file(missing, tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match=r"vgg16: .*cut\.safetensors: features\.28\.bias is missing.*torchvision's"):
        LPIPS(vgg16=str(tmp_path / "cut.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"vgg16: nowhere\.pth: no such file"):
        VGGFeatures("nowhere.pth")
    with pytest.raises(ValueError, match=r"vgg16: .*: the network is alex; take vgg"):
        LPIPS("alex", vgg16=str(file))
    with pytest.raises(ValueError, match=r"layers: VGG16 has no 'conv3_4'; .*conv3_3"):
        VGGFeatures(str(file), layers={"conv3_4": 1.0})
    with pytest.raises(ValueError, match="layers: none; name at least one"):
        VGGFeatures(str(file), layers={})
