"""Names of pairs: equal, with a label of a folder's own, with or without leading zeros."""

import numpy as np
import pytest

from adc.media.images import write_image
from adc.media.pairing import partners
from adc.media.video_source import match_sources


def matched(ours, theirs, partial=False):
    pairs, notes = partners({name: f"{name}!" for name in ours}, {name: name for name in theirs}, "a", "b", partial)
    assert all(name == other for name, _, other in pairs)
    return [(one.removesuffix("!"), other) for _, one, other in pairs], notes


@pytest.mark.parametrize(
    ("ours", "theirs", "note"),
    [
        (["0801x4", "0802x4"], ["0802", "0801"], "names were compared without 'x4' in a"),  # DIV2K
        (["0801x4"], ["0801"], "names were compared without 'x4' in a"),
        (
            ["Canon_001_LR4", "Nikon_2_LR4"],
            ["Canon_001_HR", "Nikon_2_HR"],
            "without '_LR4' in a and without '_HR' in b",
        ),
        (["Canon_001_LR4"], ["Canon_001_HR"], "names were compared without '_LR4' in a and without '_HR' in b"),
        (["baby_LRBI_x4", "bird_LRBI_x4"], ["baby", "bird"], "without '_LRBI_x4' in a"),  # Set5
        (["img_001_SRF_4_LR", "img_002_SRF_4_LR"], ["img_001_SRF_4_HR", "img_002_SRF_4_HR"], "'_LR' in a"),  # Set14
        (["deep/x_out", "y_out"], ["deep/x", "y"], "without '_out' in a"),  # Real-ESRGAN
        (["photo"], ["photo-gt"], "without '-gt' in b"),
        (["1", "2", "10"], ["001", "002", "010"], "numbers in names were compared without leading zeros"),
        (["clip1_out", "clip2_out"], ["clip001", "clip002"], "without '_out' in a"),
    ],
)
def test_labels_of_a_folder(ours, theirs, note):
    pairs, notes = matched(ours, theirs)
    assert len(pairs) == len(ours) and [one for one, _ in pairs] == ours
    for one, other in pairs:
        assert one[:2].lstrip("0") == other[:2].lstrip("0") or one.strip("0")[0] == other.strip("0")[0]
    assert note in notes[0]


def test_equal_names_need_no_note():
    assert matched(["b_out", "a_out"], ["a_out", "b_out"]) == ([("b_out", "b_out"), ("a_out", "a_out")], [])


@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    [
        (["cat"], ["car"], "cat!: no partner called 'cat' in b. Add"),
        (["img_cat"], ["img_dog"], "no partner called 'img_cat'"),
        (["img_1"], ["img_2"], "no partner called 'img_1'"),
        (["0801x4", "0802x4"], ["0801"], r"no partner called '0801x4' in b \(and 1 more\)"),
        (["a_out", "b"], ["a", "b"], "no partner called 'a_out'"),
        (["1", "01"], ["1", "2"], "no partner called '01'"),
        (["x4", "ax4"], ["", "a"], "no partner"),
    ],
)
def test_what_is_no_pair_is_named(ours, theirs, named):
    with pytest.raises(ValueError, match=named):
        matched(ours, theirs)


def test_part_of_a_folder():
    pairs, notes = matched(["0801x4", "0803x4", "9x4"], [f"{n:04d}" for n in range(801, 811)], partial=True)
    assert pairs == [("0801x4", "0801"), ("0803x4", "0803")]
    assert notes[1:] == [
        "1 of 3 in a have no partner in b and are left out (9x4)",
        "8 of 10 in b have no partner in a and are left out (0802, 0804, 0805, ...)",
    ]
    with pytest.raises(ValueError, match="no partner"):
        matched(["a"], ["b"], partial=True)


def test_pairs_of_training_images_have_labels_too(tmp_path):
    """As DIV2K's LR and HR photos are called."""
    for number in ("0802", "0801"):
        write_image(tmp_path / "lr" / f"{number}x4.png", np.zeros((4, 4, 3), np.uint8))
        write_image(tmp_path / "hr" / f"{number}.png", np.zeros((16, 16, 3), np.uint8))
    with pytest.warns(UserWarning, match="names were compared without 'x4' in .*lr"):
        matched = match_sources(str(tmp_path / "lr"), str(tmp_path / "hr"))
    assert [(one.name, other.name) for one, other in matched] == [("0801x4", "0801"), ("0802x4", "0802")]
