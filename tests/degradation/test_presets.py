import dataclasses

import pytest

from adc.degradation import PRESETS, SecondOrder

SHARED = {
    "kernel_sizes": (7, 21),
    "kernel_probabilities": (0.45, 0.25, 0.12, 0.03, 0.12, 0.03),
    "sinc_probability": 0.1,
    "sinc_probability2": 0.1,
    "final_sinc_probability": 0.8,
    "resize_probabilities": (0.2, 0.7, 0.1),
    "resize_probabilities2": (0.3, 0.4, 0.3),
    "gaussian_probability": 0.5,
    "gaussian_probability2": 0.5,
    "gray_probability": 0.4,
}
COLUMNS = {
    "blur_sigma": ((0.2, 1.5), (0.2, 3), (0.2, 3)),
    "blur_sigma2": ((0.2, 1.0), (0.2, 1.5), (0.2, 1.5)),
    "beta_gaussian": ((0.5, 2), (0.5, 4), (0.5, 4)),
    "beta_plateau": ((1, 1.5), (1, 2), (1, 2)),
    "resize_range": ((0.3, 1.5), (0.3, 1.5), (0.15, 1.5)),
    "noise_sigma": ((1, 15), (1, 15), (1, 30)),
    "poisson_scale": ((0.05, 2), (0.05, 2), (0.05, 3)),
    "jpeg_quality": ((60, 95), (60, 95), (30, 95)),
    "second_blur_probability": (0.5, 0.5, 0.8),
    "resize_range2": ((0.6, 1.2), (0.6, 1.2), (0.3, 1.2)),
    "noise_sigma2": ((1, 12), (1, 12), (1, 25)),
    "poisson_scale2": ((0.05, 1), (0.05, 1), (0.05, 2.5)),
    "jpeg_quality2": ((60, 100), (60, 100), (30, 95)),
}


@pytest.mark.parametrize(("column", "name"), enumerate(["adcsr", "pisasr", "real-esrgan"]))
def test_presets_are_the_published_numbers(column, name):
    expected = SHARED | {key: values[column] for key, values in COLUMNS.items()}
    assert dataclasses.asdict(PRESETS[name]) == expected
    assert SecondOrder(name).values == PRESETS[name]


def test_a_preset_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["adcsr"].blur_sigma = (0.1, 0.2)


def test_overrides_replace_single_values():
    degradation = SecondOrder("real-esrgan", overrides={"jpeg_quality": [80, 90], "sinc_probability": 0})
    assert degradation.values.jpeg_quality == (80, 90) and degradation.values.sinc_probability == 0
    assert degradation.values.jpeg_quality2 == (30, 95)
    assert PRESETS["real-esrgan"].jpeg_quality == (30, 95)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"jpeg_qualty": [1, 2]}, "unknown value 'jpeg_qualty'. Did you mean jpeg_quality"),
        ({"jpeg_quality": [95, 30]}, r"jpeg_quality: \[95, 30\] is not a range"),
        ({"jpeg_quality": [30, 101]}, "jpeg_quality: "),
        ({"jpeg_quality": [30.5, 90]}, "must be whole numbers"),
        ({"jpeg_quality": 80}, "jpeg_quality: 80 is not a list of 2 numbers"),
        ({"gray_probability": 1.5}, "gray_probability: 1.5 is not a probability"),
        ({"gray_probability": "often"}, "gray_probability: 'often'"),
        ({"resize_probabilities": [1, 0]}, "resize_probabilities: "),
        ({"resize_probabilities": [1, 0, -1]}, "resize_probabilities: "),
        ({"blur_sigma": [0, 1]}, "blur_sigma: "),
        ({"beta_plateau": [1.5, 2]}, "beta_plateau: .* must contain 1"),
        ({"kernel_sizes": [8, 21]}, "kernel_sizes: .* must be odd"),
    ],
)
def test_bad_overrides_name_key_and_value(overrides, message):
    with pytest.raises(ValueError, match=message):
        SecondOrder(overrides=overrides)


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="preset: unknown 'bsrgan'"):
        SecondOrder("bsrgan")
