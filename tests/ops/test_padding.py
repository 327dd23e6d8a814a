import pytest
import torch

from adc.ops.padding import crop, pad_to_multiple


@pytest.mark.parametrize(("height", "width"), [(16, 24), (17, 23), (9, 31), (8, 1)])
def test_sides_become_the_next_multiples_and_come_back(height, width):
    clip = torch.rand(2, 3, 4, height, width)
    padded = pad_to_multiple(clip, 8)
    assert padded.shape == (2, 3, 4, -(-height // 8) * 8, -(-width // 8) * 8)
    assert torch.equal(crop(padded, height, width), clip)


def test_right_and_bottom_edges_are_repeated():
    clip = torch.arange(6.0).view(1, 1, 1, 2, 3)
    padded = pad_to_multiple(clip, 4)[0, 0, 0]
    assert padded.tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]


def test_a_clip_that_fits_is_not_copied():
    clip = torch.rand(1, 2, 3, 8, 16)
    assert pad_to_multiple(clip, 8) is clip
