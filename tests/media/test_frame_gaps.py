"""Folders of frames whose numbers leave one out: told where frames are put in order, and nowhere else."""

from pathlib import Path

import pytest
from filming import frames_of, picture

from adc.media.names import describe_gap
from adc.media.video_source import list_sources


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["f001", "f002", "f004"], "between f002 and f004;"),
        (["1", "2", "3", "9", "10", "14", "15"], "between 3 and 9, nor in 1 more place;"),
        (["a_1_x", "a_2_x", "a_7_x", "a_9_x"], "between a_2_x and a_7_x, nor in 1 more place;"),
        (["0000", "0010", "0030"], "between 0010 and 0030;"),
    ],
)
def test_the_first_gap_is_named(names, told):
    assert f"there is no frame {told} those around a gap follow each other" == describe_gap([*map(Path, names)])


@pytest.mark.parametrize(
    "names",
    [
        ["f001", "f002", "f003"],
        ["f010", "f020", "f030"],
        ["f7"],
        ["a1", "b2", "b4"],
        ["s1_f1", "s1_f3", "s2_f1"],
        ["day", "night", "noon"],
        ["1", "1b", "4"],
    ],
)
def test_names_without_a_gap(names):
    assert describe_gap([*map(Path, names)]) is None


def test_clips_of_training(tmp_path):
    for name, left_out in (("a", "3"), ("b", "5"), ("c", "6")):
        frames_of(tmp_path / name, [picture(number, 32, 24) for number in range(6)])
        (tmp_path / name / f"{left_out}.png").unlink()
    with pytest.warns(UserWarning, match=r"a: there is no frame between 2 and 4; .* \(1 more of 3 clips have gaps\)"):
        assert [source.name for source in list_sources(str(tmp_path), 3)] == ["a", "b", "c"]
