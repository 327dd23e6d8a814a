import warnings

import pytest
from training import distillation, train

from adc.training.callbacks import ImagesPerUpdate


def warnings_of(images, batch_size, accumulate=1):
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        train(distillation(accumulate=accumulate), 1, batch_size=batch_size, callbacks=[ImagesPerUpdate(images)])
    return [str(one.message) for one in noted if "an update has" in str(one.message)]


def test_an_update_of_another_number_of_images_is_named_with_the_way_out():
    (line,) = warnings_of(12, 3)
    assert line == (
        "an update has 3 images (1 process x batch_size 3 x accumulate 1), but the learning rates of this recipe are "
        "for 12: set --model.accumulate 4, or multiply the rates by 0.25."
    )
    (line,) = warnings_of(8, 3, accumulate=2)
    assert "an update has 6 images" in line and "choose a batch_size whose multiples" in line and "by 0.75" in line


def test_the_recipes_own_number_is_silent():
    assert not warnings_of(6, 3, accumulate=2)
    with pytest.raises(ValueError, match=r"ImagesPerUpdate\.images: 0; at least 1"):
        ImagesPerUpdate(0)
