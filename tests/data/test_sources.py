import pytest
import torch

from adc.data.sources import Real, ShuffledFrames, Slideshow, StillImage
from adc.testing import check_source


def test_real_is_the_large_clip():
    batch = {"hr": torch.rand(2, 3, 3, 4, 4)}
    assert Real()(batch) is batch["hr"]


def test_shuffled_frames_are_the_same_frames_in_another_order():
    hr = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(40, 5, 3, 2, 2)
    torch.manual_seed(0)
    shuffled = ShuffledFrames()({"hr": hr})
    orders = shuffled[:, :, 0, 0, 0]
    assert torch.equal(orders.sort(1).values, hr[:, :, 0, 0, 0])
    assert (orders != torch.arange(5.0)).any(1).all()
    assert len({tuple(order.tolist()) for order in orders}) > 10
    torch.manual_seed(0)
    assert torch.equal(shuffled, ShuffledFrames()({"hr": hr}))


def test_two_frames_are_always_swapped_and_one_stays():
    hr = torch.rand(8, 2, 3, 2, 2)
    assert torch.equal(ShuffledFrames()({"hr": hr}), hr.flip(1))
    assert torch.equal(ShuffledFrames()({"hr": hr[:, :1]}), hr[:, :1])


@pytest.mark.parametrize("frames", [1, 4])
def test_a_still_image_stands_still_and_a_slideshow_does_not(frames):
    stills = torch.rand(2, frames, 3, 4, 4)
    shown = StillImage()({"stills": stills})
    assert shown.shape == stills.shape
    assert all(torch.equal(shown[:, number], stills[:, 0]) for number in range(frames))
    assert Slideshow()({"stills": stills}) is stills


@pytest.mark.parametrize("source", [StillImage(), Slideshow()])
def test_without_stills_the_key_of_the_data_module_is_named(source):
    with pytest.raises(ValueError, match=rf"^source: {type(source).__name__} .* Set stills: true.* DegradedClips"):
        source({"hr": torch.rand(1, 2, 3, 4, 4)})


@pytest.mark.parametrize("source", [Real(), ShuffledFrames(), StillImage(), Slideshow()])
def test_the_written_contract(source):
    check_source(source)
