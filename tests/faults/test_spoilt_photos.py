"""Photos that break and vanish while a run reads them: it completes, and its counts are exact."""

import json

import numpy as np
import pytest
from killed import TINY, adc, fit, killing, lengthened, overlay
from PIL import Image


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_counts_are_exact(tmp_path, workers):
    """Two of 200 are cut short and two removed when half of them were read once; each is met again."""
    photos = tmp_path / "photos"
    photos.mkdir()
    draw = np.random.default_rng(0)
    for number in range(200):
        Image.fromarray(draw.integers(0, 256, (66, 66, 3), np.uint8)).save(photos / f"{number:03d}.png")
    data = {"train_dir": str(photos), "batch_size": 10, "broken": "skip", "workers": workers, "cache": 0}
    spoil = killing(tmp_path / "spoil.yaml", ("SpoilPhotos", {"folder": "photos", "batch": 20, "cut": 2, "removed": 2}))
    options = [
        *overlay(tmp_path / "data.yaml", {"data": {"init_args": data}}),
        *overlay(tmp_path / "goal.yaml", {"trainer": {"limit_val_batches": 0}}),
        *lengthened(tmp_path / "length.yaml", 60),
    ]
    told = adc(
        tmp_path,
        {
            "prune": ["prune", "-c", str(TINY / "0_prune.yaml")],
            "run": fit("1_decoder.yaml", "run", *options, *spoil),
        },
    )
    assert told["run"]["status"] == 0, told["run"]["output"]
    finished = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert finished["updates"]["decoder"] == 60
    assert finished["skipped_files"] == {"decoding": 2, "vanished": 2}
    said = "4 broken files were skipped (decoding 2, vanished 2)"
    assert told["run"]["output"].count(said) == 1, told["run"]["output"]
    for name in ("000", "001", "198", "199"):
        assert f"{name}.png" in told["run"]["output"]
