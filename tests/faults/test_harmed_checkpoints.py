"""Checkpoints that are cut, flipped, zeroed or overwritten at random: found out, or of the same content."""

import random

import pytest
import torch
from killed import equal

from adc.training.checkpoint import checkpoint_path, newest_checkpoint


def cut(content, draw):
    """The end is lost."""
    return content[: draw.randrange(len(content))]


def flip(content, draw):
    """One bit differs."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def zero(content, draw):
    """A block of the disk is empty."""
    place = draw.randrange(0, len(content), 4096)
    return content[:place] + bytes(len(content[place : place + 4096])) + content[place + 4096 :]


def lose(content, draw):
    """A block is missing."""
    place = draw.randrange(0, len(content), 512)
    return content[:place] + content[place + 512 :]


def overwrite(content, draw):
    """A block holds something else."""
    place = draw.randrange(0, len(content), 512)
    return content[:place] + draw.randbytes(len(content[place : place + 512])) + content[place + 512 :]


@pytest.mark.parametrize("harm", [cut, flip, zero, lose, overwrite])
def test_it_is_never_trusted(tmp_path, long, harm):
    state = {f"layer{number}.weight": torch.randn(40, 30) for number in range(8)}
    content = {"state_dict": state, "adc": {"updates": {"student": 3}}, "loops": {"seen": [1, 2.5, "text"]}}
    older, newer = checkpoint_path(tmp_path, 1), checkpoint_path(tmp_path, 2)
    older.parent.mkdir()
    for path in (older, newer):
        torch.save(content, path)
    whole, draw, found = newer.read_bytes(), random.Random(0), 0
    for attempt in range(400 if long else 40):
        newer.write_bytes(harmed := harm(whole, draw))
        path, damaged = newest_checkpoint(tmp_path)
        assert (path, list(damaged)) in [(older, [newer]), (newer, [])], attempt
        if path == newer:  # a bit between the parts of the file, of which nothing is read
            assert harmed == whole or equal(torch.load(newer, weights_only=True), content), attempt
        found += path == older
    assert found > 20
    print(f"{harm.__name__}: {found} of {attempt + 1} found out, the others of the same content")
