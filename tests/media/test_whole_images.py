"""Nothing that an image file holds is lost or changed in silence: bits, transparency, orientation, text, colours."""

import contextlib
import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from adc.media import images
from adc.media.image_files import decode_image, fill_transparent, image_writer
from adc.media.images import BrokenImageError, list_photos, read_image, write_image
from adc.media.pixels import profile_name
from adc.media.png import color_chunks

DRAW = np.random.default_rng(0)
RGB = DRAW.integers(0, 256, (18, 20, 3), dtype=np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, samples, color_type, extra=b"", depth=16):
    """A PNG file, written by hand."""
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, color_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def deep(channels):
    return DRAW.integers(0, 65536, (18, 20, channels), dtype=np.uint16)


@pytest.mark.parametrize(("channels", "color_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_all_bits_of_png(tmp_path, channels, color_type):
    samples = deep(channels)
    found = decode_image(path := png(tmp_path / "a.png", samples, color_type))
    np.testing.assert_array_equal(
        found.pixels, np.broadcast_to(samples[..., :3] if channels > 2 else samples[..., :1], (18, 20, 3))
    )
    assert found.gray == (channels < 3) and found.notes == ()
    if channels in (2, 4):
        np.testing.assert_array_equal(found.alpha, samples[..., -1])
    else:
        assert found.alpha is None
        expected = np.floor(samples / 257 + 0.5)  # the nearest of 256
        assert np.abs(read_image(path).astype(float) - expected).max() == 0


@pytest.mark.parametrize(("channels", "color_type"), [(1, 0), (3, 2)])
def test_a_transparent_colour_of_sixteen_bits(tmp_path, channels, color_type):
    samples = deep(channels)
    key = chunk(b"tRNS", samples[3, 4].astype(">u2").tobytes())
    samples[3, 5] = samples[3, 4] ^ 1  # of the same high byte, and not transparent
    found = decode_image(png(tmp_path / "a.png", samples, color_type, key))
    assert found.alpha.dtype == np.uint16 and found.alpha[3, 4] == 0
    assert np.count_nonzero(found.alpha != 65535) == 1
    assert (read_image(tmp_path / "a.png")[3, 4] == 255).all()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["rgb", "rgba", "minisblack", "miniswhite"])
def test_all_bits_of_tiff(tmp_path, kind, compression):
    tifffile = pytest.importorskip("tifffile")
    channels = {"rgb": 3, "rgba": 4}.get(kind, 1)
    samples = deep(channels)
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    stored = samples[..., 0] if channels == 1 else samples
    photometric = "rgb" if channels > 1 else kind
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, compression=compression, **options)
    found = decode_image(tmp_path / "a.tif")
    shown = 65535 - samples if kind == "miniswhite" else samples  # where 0 is white
    np.testing.assert_array_equal(found.pixels, np.broadcast_to(shown[..., :3], (18, 20, 3)))
    if channels == 4:
        np.testing.assert_array_equal(found.alpha, samples[..., 3])


def test_sixteen_bits_in_a_tar_file(tmp_path):
    samples = deep(3)
    path = png(tmp_path / "a.png", samples, 2)
    (tmp_path / "photos").mkdir()
    with tarfile.open(tmp_path / "photos" / "shard.tar", "w") as archive:
        archive.add(path, "a.png")
        archive.add(path, ".hidden/b.png")
    (member,) = list_photos(tmp_path / "photos")
    np.testing.assert_array_equal(read_image(member), read_image(path))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_every_orientation(tmp_path, turn, ending):
    """Against Pillow's own turning, of a file whose EXIF data are whole."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x112] = turn
    Image.fromarray(RGB).save(tmp_path / f"a.{ending}", exif=exif)
    with Image.open(tmp_path / f"a.{ending}") as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}"), expected)
    np.testing.assert_array_equal(decode_image(tmp_path / f"a.{ending}").pixels, expected)
    assert 0x112 not in (decode_image(tmp_path / f"a.{ending}").metadata.exif or {})


@pytest.mark.parametrize(
    "entry",
    [
        (0x11A, 2, 4, b"72\0\0"),  # XResolution as text
        (0x11A, 7, 4, b"abcd"),
        (0x10F, 5, 1, b"\x08\0\0\0"),  # Make as a fraction
        (0x13E, 7, 4, b"abcd"),  # WhitePoint as bytes
        (0x128, 2, 4, b"in\0\0"),  # ResolutionUnit as text
        (0x213, 5, 1, b"\x08\0\0\0"),  # YCbCrPositioning as a fraction
        (0x101, 2, 4, b"18\0\0"),  # ImageLength as text
    ],
)
def test_a_mistyped_tag_beside_an_orientation(tmp_path, entry):
    field = struct.pack("<HHI", *entry[:3]) + entry[3]
    turn = struct.pack("<HHI", 0x112, 3, 1) + struct.pack("<HH", 6, 0)
    fields = b"".join(sorted([field, turn], key=lambda one: struct.unpack("<H", one[:2])))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + fields + bytes(4)
    Image.fromarray(RGB).save(tmp_path / "upright.jpg", quality=95)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95, exif=exif)
    expected = np.rot90(read_image(tmp_path / "upright.jpg"), 3)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.jpg").pixels, expected)


@pytest.mark.parametrize("value", [b"\x06", "6", 6])
def test_an_orientation_of_another_type(tmp_path, value):
    kind, data = {bytes: (1, b"\x06\0\0\0"), str: (2, b"6\0\0\0"), int: (4, struct.pack("<I", 6))}[type(value)]
    count = 2 if isinstance(value, str) else 1
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, 0x112, kind, count) + data + bytes(4)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert decode_image(tmp_path / "a.jpg").pixels.shape == (20, 18, 3)


def damaged_dds():
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 16)).save(buffer, "DDS")
    content = bytearray(buffer.getvalue())
    content[80:84] = bytes(4)
    return bytes(content)


@pytest.mark.parametrize("read", [read_image, decode_image])
def test_whatever_a_library_raises_names_the_file(tmp_path, read):
    (tmp_path / "bad.png").write_bytes(damaged_dds())
    with pytest.raises(BrokenImageError, match=r"bad\.png: cannot be read as an image"):
        read(tmp_path / "bad.png")


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "TGA", "JPEG2000", "ICO", "PCX", "TIFF", "WEBP"])
def test_every_byte_that_flips(tmp_path, kind):
    """Read, or refused by name; nothing else."""
    if kind == "AVIF" and ".avif" not in images.EXTENSIONS:
        pytest.skip("this Pillow reads no AVIF")
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 60, 30)).save(buffer, kind)
    content, refused = buffer.getvalue(), 0
    for place in range(0, min(len(content), 400)):
        harmed = bytearray(content)
        harmed[place] ^= 0xFF
        (tmp_path / "bad.png").write_bytes(harmed)
        try:
            decode_image(tmp_path / "bad.png")
        except BrokenImageError as error:
            refused += 1
            assert "bad.png: " in str(error) and "\n" not in str(error)
    assert refused


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}])
def test_a_tiff_file_that_claims_more_rows_than_it_holds(tmp_path, options):
    """Pillow leaves the others black."""
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo={278: 6}, **options)
    content = (tmp_path / "a.tif").read_bytes()
    assert read_image(tmp_path / "a.tif").shape == RGB.shape
    height, kind = struct.pack("<HH", 257, 4), struct.pack("<II", 1, 18)
    for before in (height + kind, struct.pack("<HH", 257, 3) + struct.pack("<IHH", 1, 18, 0)):
        content = content.replace(before, before[:8] + struct.pack("<I", 5000))
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(BrokenImageError, match=r"a part is missing|cannot be read as an image"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("from_end", [0.15, 0.1, 0.05])
def test_checksums_are_verified_to_the_end(tmp_path, kind, from_end):
    """Pillow stops reading when all rows are there: the last bytes of what zlib has packed are not checked."""
    smooth = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 90, 0).repeat(3, 2)
    options = {"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, kind, **options)
    content = bytearray(buffer.getvalue())
    packed = content.index(b"IDAT") + 4 if kind == "PNG" else 8
    end = content.index(b"IEND") - 8 if kind == "PNG" else packed + struct.unpack("<I", _tag(content, 279))[0]
    content[end - 1 - int(from_end * 4)] ^= 0x10  # in the checksum itself
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(BrokenImageError):
        read_image(tmp_path / "a")


def _tag(content, number):
    """The four bytes of a tag's value in a TIFF file of the order of Intel's processors."""
    (place,) = struct.unpack("<I", content[4:8])
    entries = [content[place + 2 + 12 * n :][:12] for n in range(struct.unpack("<H", content[place : place + 2])[0])]
    return next(entry[8:] for entry in entries if struct.unpack("<H", entry[:2])[0] == number)


def test_damaged_codes_of_jpeg_are_noted(tmp_path):
    """Sectors of zeros and noise in JPEG files, most of which Pillow reads without a word."""
    large = np.asarray(Image.fromarray(RGB).resize((300, 200), Image.Resampling.BICUBIC))
    for name, options in (("a", {}), ("b", {"progressive": True})):
        Image.fromarray(large).save(tmp_path / f"{name}.jpg", quality=90, **options)
        whole = (tmp_path / f"{name}.jpg").read_bytes()
        assert decode_image(tmp_path / f"{name}.jpg").notes == ()
        place = len(whole) * 2 // 3
        for harm in (bytes(512), DRAW.integers(0, 255, 512, dtype=np.uint8).tobytes()):
            (tmp_path / "harmed.jpg").write_bytes(whole[:place] + harm + whole[place + 512 :])
            for _ in range(2):  # FFmpeg says a thing twice only if it is told so
                with contextlib.suppress(BrokenImageError):
                    assert decode_image(tmp_path / "harmed.jpg").notes == ("damaged; parts of it may be wrong",), name


def test_whole_jpegs_of_many_kinds_have_no_note(tmp_path):
    for number in range(60):
        size = tuple(int(side) for side in DRAW.integers(1, 70, 2))
        image = Image.fromarray(RGB).resize(size).convert(("RGB", "L", "CMYK")[number % 3])
        options = {"quality": int(DRAW.integers(1, 101)), "progressive": number % 2 == 0, "optimize": number % 4 < 2}
        image.save(tmp_path / "a.jpg", subsampling=number % 5 % 3, restart_marker_rows=number % 7 % 2, **options)
        assert decode_image(tmp_path / "a.jpg").notes == (), (number, options)


def test_a_second_page_that_is_cut(tmp_path):
    buffer = io.BytesIO()
    page = Image.fromarray(RGB)
    page.save(buffer, "TIFF", save_all=True, append_images=[page])
    (tmp_path / "a.tif").write_bytes(buffer.getvalue()[:1250])
    found = decode_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, RGB)
    assert found.notes


def test_what_is_hidden_gets_the_nearest_visible_colour():
    alpha = np.zeros((5, 7), np.uint8)
    alpha[2, 3], alpha[2, 4] = 255, 1
    pixels = np.zeros((5, 7, 3), np.uint8)
    pixels[2, 3], pixels[2, 4] = (200, 10, 20), (90, 91, 92)
    filled = fill_transparent(pixels, alpha)
    assert (filled[:, :4] == (200, 10, 20)).all() and (filled[:, 4:] == (90, 91, 92)).all()
    np.testing.assert_array_equal(fill_transparent(pixels, np.zeros_like(alpha)), pixels)


def test_what_claims_more_than_memory_holds(tmp_path, monkeypatch):
    head = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    monkeypatch.setattr(images, "available_memory", lambda: 2**34)
    with pytest.raises(
        BrokenImageError, match=r"bomb\.png: 200000x200000 pixels need 447\.0 GiB and 16\.0 GiB are free; cut"
    ):
        read_image(tmp_path / "bomb.png")


def test_more_than_pillow_allows(tmp_path, monkeypatch):
    """What `adc` makes of photos of phones is larger than Pillow's limit; here the limit is small."""
    assert Image.MAX_IMAGE_PIXELS is None
    write_image(tmp_path / "a.png", RGB)
    assert read_image(tmp_path / "a.png").shape == RGB.shape


def test_what_a_png_says_comes_through(tmp_path):
    colors = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"cICP", bytes([12, 13, 0, 1]))
    text = chunk(b"tEXt", b"parameters\0a photo, steps 20") + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")
    source = png(tmp_path / "a.png", RGB, 2, colors + text, depth=8)
    found = decode_image(source)
    assert found.metadata.text == {"parameters": "a photo, steps 20"} and found.metadata.xmp == b"<x/>"
    with image_writer(tmp_path / "b.png", (20, 18), 3, found.metadata) as writer:
        writer.write(RGB)
    again = decode_image(tmp_path / "b.png")
    assert again.metadata.text == found.metadata.text and again.metadata.xmp == b"<x/>"
    assert color_chunks(tmp_path / "b.png") == {b"gAMA": struct.pack(">I", 100000), b"cICP": bytes([12, 13, 0, 1])}
    assert found.metadata.missing(".png", False) == []
    lost = found.metadata.missing(".jpg", False)
    assert lost == ["its text is left out (parameters)", "what it says of its colours is left out (gAMA, cICP)"]
    with image_writer(tmp_path / "c.jpg", (20, 18), 3, found.metadata) as writer:
        writer.write(RGB)
    with Image.open(tmp_path / "c.jpg") as image:
        assert image.info["xmp"] == b"<x/>"


def test_a_comment_of_jpeg(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", comment="made by hand")
    found = decode_image(tmp_path / "a.jpg").metadata
    with image_writer(tmp_path / "b.jpg", (20, 18), 3, found) as writer:
        writer.write(RGB)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == b"made by hand"


def test_exif_that_is_too_long_for_jpeg(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = bytes(70_000)
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif.tobytes())
    found = decode_image(tmp_path / "a.png").metadata
    assert found.missing(".jpg", False) == ["its EXIF data are too long for JPEG and left out"]
    with image_writer(tmp_path / "b.jpg", (20, 18), 3, found) as writer:
        writer.write(RGB)
    assert read_image(tmp_path / "b.jpg").shape == RGB.shape


@pytest.mark.parametrize(("quality", "largest"), [(95, 8), (100, 4)])
def test_colours_of_jpeg_are_whole_from_ninety_on(tmp_path, quality, largest):
    """Stripes of one pixel, red and blue; halved colours miss by 89 on average."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    with image_writer(tmp_path / "a.jpg", (16, 16), 3, quality=quality) as writer:
        writer.write(stripes)
    write_image(tmp_path / "b.jpg", stripes, quality)
    for name in ("a.jpg", "b.jpg"):
        assert np.abs(read_image(tmp_path / name).astype(int) - stripes).mean() < largest
    write_image(tmp_path / "c.jpg", stripes, 80)
    assert np.abs(read_image(tmp_path / "c.jpg").astype(int) - stripes).mean() > 40


def test_both_readers_read_cmyk_by_its_profile(tmp_path):
    """Without a profile as Pillow converts it, in both; a press profile is not at hand without ghostscript."""
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), decode_image(tmp_path / "a.tif").pixels)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_a_profile_of_other_colours_is_noted(tmp_path, mode):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).convert(mode).save(tmp_path / "a.jpg", icc_profile=srgb)
    found = decode_image(tmp_path / "a.jpg")
    expected = () if mode == "RGB" else ("its colour profile is for another kind of colours and left out",)
    assert found.notes == expected and (found.metadata.icc is None) == (mode != "RGB")


def test_names_of_profiles():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert (profile_name(None), profile_name(srgb), profile_name(b"no profile")) == (
        "sRGB",
        "sRGB",
        "of a damaged profile",
    )
    assert profile_name(lab) not in ("sRGB", "")


@pytest.mark.parametrize(
    ("name", "says"), [("a.heic", "is not read; convert it"), ("a.tif", "floating-point"), ("a.png", "not an image")]
)
def test_what_nothing_reads_is_named_with_a_way_out(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(BrokenImageError, match=says):
        read_image(tmp_path / name)


def test_what_a_folder_of_photos_holds_besides_is_told(tmp_path):
    write_image(tmp_path / "a.png", RGB)
    for name in ("a.txt", "b.heic", "c.tar.gz", ".hidden.heic"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"2 other files left out \(\.gz, \.heic\)"):
        list_photos(tmp_path)
