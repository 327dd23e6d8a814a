import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from adc.metrics import flow
from adc.metrics.flow import SpyNet
from adc.metrics.temporal import sharpness, temporal_distance, warping_error

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared"))
SPYNET = SHARED / "data/weights/spynet_sintel_final.pth"


def texture(height=200, width=260, seed=0):
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)


def sliding(frames=3, step=4):
    """A clip whose content moves to the right."""
    shown = texture() * 2 - 1
    return torch.stack([shown[..., 20:180, 60 - step * t : 220 - step * t] for t in range(frames)], dim=1)


def still(first, second):
    return torch.zeros(len(first), 2, *first.shape[-2:])


def test_a_change_of_brightness_has_a_closed_form():
    clip = torch.stack([torch.full((2, 3, 20, 24), value) for value in (-0.5, 0.0, 0.5)], dim=1)
    torch.testing.assert_close(warping_error(clip, still), torch.full((2,), 1000 * 3 * 0.25**2).double())


def test_frames_are_halved():
    """Two pixels of motion are one at half size."""
    seen = []

    def estimate(first, second):
        seen.append(first.shape)
        return still(first, second)

    warping_error(torch.zeros(1, 2, 3, 36, 50), estimate)
    assert seen == [(1, 3, 24, 32)] * 2


@pytest.mark.parametrize("name", ["dis", "spynet"])
def test_real_motion_is_found(name):
    if name == "spynet" and not SPYNET.is_file():
        pytest.skip("the weights of SPyNet are not here")
    pytest.importorskip("cv2")
    estimate = flow.dis() if name == "dis" else flow.spynet(SPYNET)
    first, second = texture()[..., 20:148, 30:222], texture()[..., 17:145, 25:217]
    found = estimate(first, second)[0, :, 16:-16, 16:-16].flatten(1).median(dim=1).values
    torch.testing.assert_close(found, torch.tensor([5.0, 3.0]), atol=0.1, rtol=0)


def test_motion_is_no_error_and_flicker_is():
    pytest.importorskip("cv2")
    error, clip = partial(warping_error, flow=flow.dis()), sliding()
    flicker = clip + 0.1 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))
    assert error(clip).item() < 0.1 * warping_error(clip, still).item()
    assert error(flicker).item() > 1.5 * error(clip).item()


def test_blur_lowers_the_error_and_the_sharpness():
    pytest.importorskip("cv2")
    error, clip = partial(warping_error, flow=flow.dis()), sliding()
    flicker = clip + 0.1 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))
    blurred = F.avg_pool2d(flicker.flatten(0, 1), 5, stride=1, padding=2).unflatten(0, clip.shape[:2])
    assert error(blurred).item() < 0.5 * error(flicker).item()
    assert sharpness(blurred).item() < 0.1 * sharpness(flicker).item()


def test_a_clip_is_the_mean_of_its_pairs():
    pytest.importorskip("cv2")
    error, clip = partial(warping_error, flow=flow.dis()), sliding(frames=4, step=3)
    pairs = torch.stack([error(clip[:, t : t + 2]) for t in range(3)])
    torch.testing.assert_close(error(clip), pairs.mean(dim=0))


def test_temporal_distance_has_a_closed_form():
    """Steps of 0.2 and 0.4 against 0.1 and 0.1: (0.1 + 0.3) / 2."""
    ours, theirs = (
        torch.tensor(values).view(1, 3, 1, 1, 1).expand(1, 3, 3, 8, 8) for values in ([0.0, 0.2, 0.6], [0.0, 0.1, 0.2])
    )
    measure = partial(temporal_distance, distance=lambda a, b: (a - b).abs().mean(dim=(1, 2, 3, 4)))
    assert measure(ours, theirs).item() == pytest.approx(0.2)
    assert measure(theirs, theirs).item() == 0


def test_one_frame_does_not_move():
    clip = torch.zeros(1, 1, 3, 16, 16)
    with pytest.raises(ValueError, match="at least two frames"):
        warping_error(clip, still)
    with pytest.raises(ValueError, match="at least two frames"):
        temporal_distance(clip, clip, lambda a, b: a)


def test_spynet_takes_any_size_and_its_levels_add_up():
    network = SpyNet().requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    shown = texture(44, 76)
    assert network(shown, shown).shape == (1, 2, 44, 76)
    assert not network(shown, shown).any()
    for level in network.basic_module:
        level.basic_module[-1].bias.copy_(torch.tensor([1.0, -1.0]))
    moved = network(shown, shown)[0]
    torch.testing.assert_close(moved[0], torch.full((44, 76), 63.0 * 76 / 96))
    torch.testing.assert_close(moved[1], torch.full((44, 76), -63.0 * 44 / 64))


def test_other_weights_are_refused(tmp_path):
    torch.save({"something": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.pth", "text.pth"):
        with pytest.raises(ValueError, match=rf"{name}: not the weights of SpyNet"):
            flow.spynet(tmp_path / name)


@pytest.mark.slow
def test_raft_loads_its_weights(tmp_path):
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    network = raft_large(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    first, second = texture(128, 136), texture(128, 136, seed=1)
    with torch.no_grad():
        expected = network(first * 2 - 1, second * 2 - 1, num_flow_updates=20)[-1]
        torch.testing.assert_close(flow.raft(tmp_path / "raft.pth")(first, second), expected)
