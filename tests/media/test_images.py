import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from adc.media.images import BrokenImageError, list_images, read_image, to_bytes, to_frame, write_image
from adc.media.names import WRITTEN, frame_files, name_of

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
GRAY = RGB[..., 0]


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_rgb_and_grey(tmp_path):
    np.testing.assert_array_equal(read_image(save(Image.fromarray(RGB), tmp_path / "a.png")), RGB)
    pixels = read_image(save(Image.fromarray(GRAY), tmp_path / "b.png"))
    np.testing.assert_array_equal(pixels, np.repeat(GRAY[..., None], 3, 2))
    assert pixels.flags.writeable and pixels.dtype == np.uint8
    black_and_white = read_image(save(Image.fromarray(GRAY > 127), tmp_path / "c.png"))
    np.testing.assert_array_equal(black_and_white[..., 1], (GRAY > 127) * 255)


def test_palette(tmp_path):
    image = Image.fromarray(RGB // 64 * 64).quantize(64)
    np.testing.assert_array_equal(read_image(save(image, tmp_path / "a.png")), np.array(image.convert("RGB")))


def test_transparency_is_laid_over_white(tmp_path):
    alpha = np.zeros((12, 20, 1), np.uint8)
    alpha[:, 10:] = 255
    pixels = read_image(save(Image.fromarray(np.concatenate([RGB, alpha], 2)), tmp_path / "a.png"))
    assert (pixels[:, :10] == 255).all()
    np.testing.assert_array_equal(pixels[:, 10:], RGB[:, 10:])
    pixels = read_image(save(Image.fromarray(np.concatenate([GRAY[..., None], alpha], 2), "LA"), tmp_path / "b.png"))
    assert (pixels[:, :10] == 255).all() and (pixels[:, 10:, 2] == GRAY[:, 10:]).all()
    palette = Image.fromarray(np.full((4, 4), 1, np.uint8), "P")
    palette.putpalette([9, 9, 9, 50, 60, 70])
    assert (read_image(save(palette, tmp_path / "c.png", transparency=1)) == 255).all()
    assert (read_image(save(palette, tmp_path / "d.png", transparency=0)) == [50, 60, 70]).all()


def test_sixteen_bit_grey_is_scaled(tmp_path):
    deep = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)
    for ending in ("png", "tif"):
        pixels = read_image(save(Image.fromarray(deep), tmp_path / f"a.{ending}"))
        assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_cmyk(tmp_path):
    flat = Image.new("RGB", (16, 16), (200, 30, 90)).convert("CMYK")
    assert np.abs(read_image(save(flat, tmp_path / "a.jpg", quality=100)).astype(int) - [200, 30, 90]).max() <= 4


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = read_image(save(Image.fromarray(RGB), tmp_path / "a.png", exif=exif))
    np.testing.assert_array_equal(pixels, np.rot90(RGB, -1))


def test_floating_point_pixels_are_refused(tmp_path):
    path = save(Image.fromarray(np.ones((4, 4), np.float32)), tmp_path / "a.tif")
    with pytest.raises(BrokenImageError, match=r"a\.tif: cannot be read .*floating-point"):
        read_image(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_file_is_named_in_one_line(tmp_path, ending, kept, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as importing pyiqa does
    path = save(Image.fromarray(np.tile(RGB, (10, 10, 1))), tmp_path / f"cut.{ending}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(BrokenImageError, match=rf"cut\.{ending}") as error:
        read_image(path)
    assert "\n" not in str(error.value)


def test_what_is_not_an_image_is_named(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "empty.png"):
        with pytest.raises(BrokenImageError, match=f"{name}: not an image"):
            read_image(tmp_path / name)
    with pytest.raises(BrokenImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("ending", WRITTEN)
def test_every_ending_can_be_written(tmp_path, ending):
    path = tmp_path / "new" / f"a{ending}"
    smooth = np.full((16, 16, 3), (10, 120, 200) if ending != ".pgm" else 120, np.uint8)
    write_image(path, smooth)
    assert np.abs(read_image(path).astype(int) - smooth).max() <= 4
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_writing_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", RGB)

    def fail(self, file, *rest, **options):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_image(tmp_path / "a.png", RGB[::-1])
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


def test_writing_refuses_other_formats_and_pixels(tmp_path):
    with pytest.raises(ValueError, match=r"a\.xyz: unknown image format"):
        write_image(tmp_path / "a.xyz", RGB)
    with pytest.raises(ValueError, match="uint8"):
        write_image(tmp_path / "a.png", RGB.astype(np.float32))


def test_frames_and_bytes_are_inverse():
    frame = to_frame(RGB)
    assert frame.shape == (3, 12, 20) and frame.min() >= -1 and frame.max() <= 1
    np.testing.assert_array_equal(to_bytes(frame), RGB)
    assert to_bytes(torch.tensor([-3.0, 0.0, 3.0]).view(3, 1, 1)).flatten().tolist() == [0, 128, 255]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(to_bytes(to_frame(RGB[:, ::-1])), RGB[:, ::-1])


def test_listing_is_recursive_sorted_and_leaves_hidden_files_out(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/.hidden.png", ".git/x.png", "notes.txt", "c.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = list_images(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/z.JPG", "b.png", "c.tiff"]
    assert [name_of(path, tmp_path) for path in found] == ["a/z", "b", "c"]
    assert list_images(tmp_path / "b.png") == [tmp_path / "b.png"]
    assert name_of(tmp_path / "b.png", tmp_path / "b.png") == "b"


def test_folders_without_images_are_named(tmp_path):
    with pytest.raises(ValueError, match="no image in this folder"):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")


def test_superscripts_in_names_are_no_numbers(tmp_path):
    for name in ("\u00b2", "a\u00b2", "10", "2"):
        write_image(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    assert [path.stem for path in frame_files(tmp_path)] == ["2", "10", "a\u00b2", "\u00b2"]
