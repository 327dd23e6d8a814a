import pytest
import torch

from adc.ops.temporal import flicker, liveliest, profiles, unsteadiness


def levels(*values):
    """A clip of flat frames."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1, 1).expand(1, len(values), 3, 4, 5)


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_flicker_has_a_closed_form():
    """Steps of 2 and -3 against 1 and 1: (1 + 4) / 2."""
    assert flicker(levels(0, 2, -1), levels(5, 6, 7)).item() == 2.5
    assert flicker(levels(5, 6, 7), levels(0, 2, -1)).item() == 2.5


def test_an_error_that_stays_does_not_flicker():
    reference, error = noise(2, 5, 3, 8, 9), noise(2, 1, 3, 8, 9)
    torch.testing.assert_close(flicker(reference + error, reference), torch.zeros(2, dtype=torch.float64))
    assert flicker(reference.mean(dim=1, keepdim=True).expand_as(reference), reference).min() > 0.1


def test_clips_of_a_batch_are_apart():
    clip = noise(3, 4, 3, 6, 7)
    each = torch.cat([flicker(clip[i : i + 1], clip[i : i + 1].flip(1)) for i in range(3)])
    torch.testing.assert_close(flicker(clip, clip.flip(1)), each)
    each = torch.cat([unsteadiness(clip[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(unsteadiness(clip), each)


def test_unsteadiness_has_a_closed_form():
    assert unsteadiness(levels(3, 5, 7, 9)).item() == 0
    assert unsteadiness(levels(-2, 2, -2, 2)).item() == 2
    assert unsteadiness(levels(0, 0, 4, 4)).item() == 1


def test_too_few_frames():
    with pytest.raises(ValueError, match="at least two frames"):
        flicker(levels(1), levels(2))
    with pytest.raises(ValueError, match="at least three frames"):
        unsteadiness(levels(1, 2))


def test_a_profile_is_a_row_over_time():
    clip = noise(1, 3, 3, 5, 7)
    row, _ = liveliest(clip[0], 7)
    (shown,) = profiles([clip], 7)
    assert shown.shape == (3, 96, 7)
    for t in range(3):
        assert torch.equal(shown[:, 32 * t : 32 * t + 32], clip[0, t, :, row, None].expand(3, 32, 7))


def test_what_moves_draws_a_slanted_line():
    clip = torch.zeros(1, 6, 1, 3, 6)
    for t in range(6):
        clip[0, t, 0, 1, t] = 1
    assert torch.equal(profiles([clip], 6)[0][0, ::16], torch.eye(6))


def test_the_liveliest_stretch():
    clip = noise(1, 1, 3, 12, 40).expand(1, 4, 3, 12, 40).clone()
    assert liveliest(clip[0], 16) == (0, 0)
    clip[0, 2, :, 7, 20:28] += 5
    row, left = liveliest(clip[0], 16)
    assert row == 7 and left <= 20 and left + 16 >= 28 and left % 4 == 0
    assert liveliest(clip[0], 100) == (7, 0)
    assert liveliest(clip[0, :1], 16) == (0, 0)


def test_profiles_are_of_one_place():
    truth = torch.zeros(1, 4, 3, 12, 40)
    truth[0, 2, :, 7, 20:28] = 1
    other = noise(1, 4, 3, 12, 40).float()
    row, left = liveliest(truth[0], 16)
    ours, theirs = profiles([other, truth], 16)
    for shown, clip in ((theirs, truth), (ours, other)):
        assert torch.equal(shown[:, 5::24], clip[0, ..., row, left : left + 16].transpose(0, 1))
    assert ours.shape == (3, 96, 16)
    long = torch.zeros(1, 100, 3, 2, 5)
    assert profiles([long], 16)[0].shape == (3, 100, 5)
