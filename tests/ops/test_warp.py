import pytest
import torch

from adc.ops.warp import occluded, warp, warping_error


def steady(x, y, size=(8, 10), batch=1):
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(batch, 2, *size).double()


def picture(batch=1, size=(8, 10), seed=0):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_no_motion_changes_nothing():
    shown = picture(batch=2)
    torch.testing.assert_close(warp(shown, steady(0.0, 0.0, batch=2)), shown)


def test_whole_pixels_are_fetched_from_the_right_and_from_below():
    shown = picture()
    moved = warp(shown, steady(2.0, 1.0))
    torch.testing.assert_close(moved[..., :-1, :-2], shown[..., 1:, 2:])
    torch.testing.assert_close(moved[..., :-1, -1], shown[..., 1:, -1])


def test_half_a_pixel_is_the_mean_of_two():
    shown = picture()
    moved = warp(shown, steady(0.5, 0.0))
    torch.testing.assert_close(moved[..., :-1], (shown[..., 1:] + shown[..., :-1]) / 2)


def test_flows_that_agree_hide_nothing_and_flows_that_do_not_hide_all():
    assert not occluded(steady(3.0, -2.0), steady(-3.0, 2.0)).any()
    assert occluded(steady(3.0, -2.0), steady(3.0, -2.0)).all()


@pytest.mark.parametrize(("gap", "hidden"), [(0.70, False), (0.72, True)])
def test_the_threshold_of_disagreement(gap, hidden):
    """gap^2 against 0.01 (1 + (1 - gap)^2) + 0.5: 0.4900 < 0.5109 and 0.5184 > 0.5108."""
    assert bool(occluded(steady(1.0, 0.0), steady(gap - 1, 0.0)).all()) is hidden


def test_an_edge_of_the_motion_does_not_count():
    forward = steady(0.0, 0.0).clone()
    forward[:, 0, :, 5:] = 0.1
    hidden = occluded(forward, -forward)
    assert hidden[..., 4].all()
    assert hidden.sum() == 8


def test_the_error_sums_channels_and_means_pixels():
    first, second = torch.full((2, 3, 8, 10), 0.25).double(), torch.full((2, 3, 8, 10), 0.5).double()
    still = steady(0.0, 0.0, batch=2)
    torch.testing.assert_close(warping_error(first, second, still, still), torch.full((2,), 3 * 0.25**2).double())


def test_only_visible_pixels_count():
    first, second = picture(), picture(seed=1)
    forward = steady(0.0, 0.0).clone()
    forward[:, 0, :, 5:] = 0.1
    backward = -forward
    seen = (~occluded(forward, backward)).double()
    wrong = ((warp(second, forward) - first) * seen).square().sum() / seen.sum()
    assert seen.sum() == 72
    assert warping_error(first, second, forward, backward).item() == pytest.approx(wrong.item())


def test_followed_motion_leaves_nothing():
    shown = picture(size=(20, 30))
    first, second = shown[..., :-1, :-2], shown[..., 1:, 2:]
    size = first.shape[-2:]
    apart = warping_error(first, second, steady(-2.0, -1.0, size), steady(2.0, 1.0, size))
    inside = warp(second, steady(-2.0, -1.0, size))[..., 1:, 2:]
    torch.testing.assert_close(inside, first[..., 1:, 2:])
    assert apart.item() < warping_error(first, second, *[steady(0.0, 0.0, size)] * 2).item() / 2


def test_nothing_seen_is_no_error():
    first, second = picture(), picture(seed=1)
    assert warping_error(first, second, steady(3.0, 0.0), steady(3.0, 0.0)).item() == 0
