"""Small image files of all formats that are read, and damage to them that a seed repeats."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, features

HEIGHT, WIDTH = 33, 37
TEXT_ONLY = "plain.ppm"
"""Of a format whose last number may be cut without a trace."""


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, extra=b""):
    """A PNG file of 16 bits per channel."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def encoded(kind, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def whole_files():
    """The content of each file by its name."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([(x * 6) % 256, (y * 7) % 256, ((x + y) * 3) % 256], 2)
    rgb = (smooth // 2 + draw.integers(0, 64, smooth.shape)).astype(np.uint8)
    image, gray = Image.fromarray(rgb), Image.fromarray(rgb[..., 0])
    clear, inks = Image.fromarray(np.dstack([rgb, rgb[..., 0]])), image.convert("CMYK")
    deep = (rgb.astype(np.uint16) * 257) ^ draw.integers(0, 256, rgb.shape).astype(np.uint16)
    exif = Image.Exif()
    exif.update({0x112: 6, 0x10F: "maker", 0x11A: 72.0, 0x11B: 72.0, 0x128: 2, 0x132: "2020:01:01 00:00:00"})
    exif.get_ifd(0x8769).update({0x9003: "2020:01:01 00:00:00", 0x829A: 0.01, 0xA002: WIDTH, 0xA003: HEIGHT})
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    said = {"exif": exif, "icc_profile": profile, "dpi": (72, 72)}
    text = chunk(b"tEXt", b"Title\0a text") + chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"tRNS", bytes(6))
    files = {
        "a.png": encoded("PNG", image, **said), "clear.png": encoded("PNG", clear),
        "palette.png": encoded("PNG", image.quantize(32), transparency=3), "deep.png": png(deep, text),
        "deep_gray.png": png(deep[..., :2]), "a.apng": encoded("PNG", image, save_all=True, append_images=[clear]),
        "a.jpg": encoded("JPEG", image, comment=b"a comment", xmp=b"<x/>", **said), "gray.jpg": encoded("JPEG", gray),
        "progressive.jpg": encoded("JPEG", image, progressive=True), "inks.jpg": encoded("JPEG", inks),
        "restarts.jpg": encoded("JPEG", image, restart_marker_rows=1, subsampling=0),
        "a.webp": encoded("WEBP", image, exif=exif, icc_profile=profile), "clear.webp": encoded("WEBP", clear),
        "lossless.webp": encoded("WEBP", clear, lossless=True), "a.bmp": encoded("BMP", image),
        "palette.bmp": encoded("BMP", image.quantize(16)), "a.dib": encoded("DIB", image),
        "a.ppm": encoded("PPM", image), "a.pgm": encoded("PPM", gray), "a.pbm": encoded("PPM", gray.convert("1")),
        "deep.pgm": b"P5\n37 33\n65535\n" + deep[..., 0].astype(">u2").tobytes(),
        TEXT_ONLY: b"P3\n4 4\n255\n" + b" ".join(str(value).encode() for value in rgb[:4, :4].ravel()),
        "a.gif": encoded("GIF", image), "moving.gif": encoded("GIF", image, save_all=True, append_images=[gray]),
        "a.jp2": encoded("JPEG2000", image), "a.j2k": encoded("JPEG2000", image, no_jp2=True),
        "a.tga": encoded("TGA", clear), "runs.tga": encoded("TGA", image, compression="tga_rle"),
        "inks.tif": encoded("TIFF", inks), "pages.tif": encoded("TIFF", image, save_all=True, append_images=[gray]),
        "said.tif": encoded("TIFF", image, exif=exif, icc_profile=profile),
        "deep.tif": tiff(deep, ">"), "deep_gray.tif": tiff(deep[..., :1], "<"),
        "packed.tif": tiff(deep, "<", packed=True), "a.dds": encoded("DDS", clear),
        "a.ico": encoded("ICO", clear, sizes=[(16, 16)]), "a.pcx": encoded("PCX", image),
    }  # fmt: skip
    if "avif" in features.modules and features.check("avif"):
        files["a.avif"] = encoded("AVIF", image)
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"{compression}.tif"] = encoded("TIFF", image, compression=compression)
    return files


def tiff(samples, order, packed=False):
    """A TIFF file of 16 bits per channel, by hand, in one strip."""
    height, width, channels = samples.shape
    data = samples.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 16 if channels == 1 else 8),
        (259, 3, 1, 8 if packed else 1), (262, 3, 1, 1 if channels == 1 else 2), (273, 4, 1, 8 + len(bits)),
        (277, 3, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + (struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value))
        for tag, kind, count, value in tags
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(bits) + len(data))
    return head + bits + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def cut(content, draw, others):
    return content[: draw.integers(1, len(content))]


def flip(content, draw, others):
    content = bytearray(content)
    for _ in range(2 ** draw.integers(0, 5)):
        content[draw.integers(len(content))] ^= 1 << draw.integers(8)
    return bytes(content)


def number(content, draw, others):
    """A number, at a place that is likelier near the beginning, becomes an extreme one."""
    content, size = bytearray(content), int(draw.choice([1, 2, 4]))
    place = min(int(len(content) * draw.random() ** 3), len(content) - size)
    extreme = [
        bytes(size),
        b"\xff" * size,
        b"\x7f" + b"\xff" * (size - 1),
        b"\x80" + bytes(size - 1),
        bytes([1] * size),
    ]
    content[place : place + size] = extreme[draw.integers(len(extreme))]
    return bytes(content)


def overwrite(content, draw, others):
    length = int(draw.integers(1, max(2, len(content) // 4)))
    place = int(draw.integers(0, max(1, len(content) - length)))
    kinds = [bytes(length), b"\xff" * length, draw.integers(0, 256, length, dtype=np.uint8).tobytes()]
    return content[:place] + kinds[draw.integers(3)] + content[place + length :]


def remove(content, draw, others):
    place, length = draw.integers(len(content)), draw.integers(1, 40)
    return content[:place] + content[place + length :]


def repeat(content, draw, others):
    place, length = draw.integers(len(content)), draw.integers(1, 200)
    return content[: place + length] + content[place:]


def splice(content, draw, others):
    """The beginning of one file and the end of another."""
    other = others[draw.integers(len(others))]
    return content[: draw.integers(1, len(content))] + other[draw.integers(len(other)) :]


KINDS = (cut, flip, flip, number, number, overwrite, remove, repeat, splice)


def mutated(seed, files):
    """The name of a file, how it is damaged, and its damaged content, all drawn by a seed."""
    draw = np.random.default_rng(seed)
    name = list(files)[draw.integers(len(files))]
    kind = KINDS[draw.integers(len(KINDS))]
    return name, kind.__name__, kind(files[name], draw, list(files.values()))
