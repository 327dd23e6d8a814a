"""Damaged TIFF files: libtiff's words are in the error, and nothing is on the terminal."""

import io
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image, features

from adc.media.images import BrokenImageError, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
WORDS = {"tiff_lzw": "Using code not yet in table", "tiff_adobe_deflate": "Decoding error", "group4": "Bad code word"}

pytestmark = pytest.mark.skipif(not features.check("libtiff"), reason="Pillow was built without libtiff")


@pytest.fixture
def damaged(tmp_path):
    """Writes a file of some compression in which every seventh byte of the pixels is another one."""

    def write(compression, name="damaged.tif"):
        path = tmp_path / name
        image = Image.fromarray(PIXELS)
        (image.convert("1") if compression == "group4" else image).save(path, "TIFF", compression=compression)
        assert read_image(path).shape == PIXELS.shape
        content = bytearray(path.read_bytes())
        for place in range(200, len(content) - 200, 7):
            content[place] ^= 0x5A
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("compression", WORDS)
def test_an_error_is_told_once_and_by_the_name_of_the_file(damaged, capfd, compression):
    path = damaged(compression)
    with pytest.raises(BrokenImageError) as raised:
        read_image(path)
    assert str(raised.value).startswith(f"{path}: cannot be read as an image (its data are damaged: ")
    assert WORDS[compression] in str(raised.value) and "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_errors_are_those_of_the_file(damaged, tmp_path):
    """Of files that are read at once by several threads, and after one another."""
    good = tmp_path / "good.tif"
    Image.fromarray(PIXELS).save(good, compression="tiff_lzw")
    found = []

    def read(path):
        for _ in range(20):
            try:
                found.append((path.name, read_image(path).shape))
            except BrokenImageError:
                found.append((path.name, None))

    threads = [threading.Thread(target=read, args=[path]) for path in (good, damaged("tiff_lzw"), good)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(found), key=str) == [("damaged.tif", None), ("good.tif", (40, 40, 3))] and len(found) == 60


def test_warnings_of_pillow_are_not_on_the_terminal(tmp_path):
    """Of a second page that is cut; the reader of commands notes it in its own words."""
    two = io.BytesIO()
    Image.fromarray(PIXELS).save(two, "TIFF", save_all=True, append_images=[Image.fromarray(PIXELS)])
    (tmp_path / "cut.tif").write_bytes(two.getvalue()[: len(two.getvalue()) - 40 * 40 * 3 - 20])
    script = (
        "import sys, pathlib\n"
        "from adc.media.image_files import decode_image\n"
        "print(decode_image(pathlib.Path(sys.argv[1])).notes)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cut.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be counted" in done.stdout and done.stderr == ""
