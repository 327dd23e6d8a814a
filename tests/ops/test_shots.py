import math

import pytest
import torch

from adc.ops.shots import cuts, jumps


def scene(seed, frames, speed=1.0, size=64):
    """Smooth waves that drift."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(3, 3, generator=generator)
    y, x, t = torch.meshgrid(torch.arange(size), torch.arange(size), torch.arange(frames), indexing="ij")
    waves = [torch.sin((x + speed * t) * (0.05 + 0.2 * a) + y * 0.2 * b + 6 * c) for a, b, c in numbers]
    return torch.stack(waves).permute(3, 0, 1, 2) * 0.8


def test_jumps_in_closed_form():
    dark, light = -torch.ones(3, 8, 8), torch.ones(3, 8, 8)
    half = torch.cat([dark[:, :4], light[:, 4:]], dim=1)
    assert torch.allclose(jumps(torch.stack([dark, light, light, half])), torch.tensor([1.0, 0.0, 0.5]))
    striped = dark.clone()
    striped[..., ::2] = 1
    assert torch.equal(jumps(torch.stack([striped, striped.flip(-1)])), torch.zeros(1))
    assert jumps(torch.stack([striped, dark])).item() == pytest.approx(0.5)


@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_cut_is_found_where_it_is(at):
    clip = torch.cat([scene(0, at), scene(1, 8 - at)])
    assert cuts(clip).nonzero().flatten().tolist() == [at - 1]


def test_drift_pan_and_flash_are_no_cuts():
    assert not cuts(scene(0, 8)).any()
    assert not cuts(scene(0, 8, speed=9.0)).any() and jumps(scene(0, 8, speed=9.0)).max() > 0.25
    flash = scene(0, 8)
    flash[4] = 1
    assert not cuts(flash).any() and jumps(flash).max() > 0.5


def test_two_frames_and_one():
    assert cuts(torch.cat([scene(0, 1), scene(1, 1)])).tolist() == [True]
    assert cuts(scene(0, 1)).shape == (0,)
    assert math.isclose(jumps(scene(0, 2))[0].item(), jumps(scene(0, 3))[0].item())
