import importlib.util
import subprocess
import sys

import pytest

from adc.data.bundled import TRAIN, VALIDATION, photo_path, training_photos, validation_photos
from adc.media.images import read_image


def test_the_split_is_fixed():
    assert VALIDATION == ("astronaut", "chelsea", "coffee", "rocket")
    assert len(TRAIN) == 11 and not set(VALIDATION) & set(TRAIN)


def test_all_are_there_and_readable():
    paths = training_photos() + validation_photos()
    assert [path.stem for path in paths] == [*TRAIN, *VALIDATION]
    assert all(min(read_image(path).shape[:2]) >= 300 for path in paths)


def test_unknown_names_and_missing_files_are_clear(monkeypatch):
    with pytest.raises(ValueError, match="'page'"):
        photo_path("page")
    monkeypatch.setattr("adc.data.bundled.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install scikit-image"):
        photo_path("coffee")
    monkeypatch.setattr("adc.data.bundled.find_spec", lambda name: importlib.util.find_spec("json"))
    with pytest.raises(FileNotFoundError, match=r"coffee\.png"):
        photo_path("coffee")


def test_nothing_heavy_is_imported():
    code = (
        "import sys, adc.data, adc.degradation\nadc.data.training_photos()\n"
        "heavy = {'skimage', 'lightning', 'torchvision', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
