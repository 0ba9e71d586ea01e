"""decode: every mode comes out as a person sees it; every broken file is refused, and named."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from moco.data.decode import decode, header_size
from moco.data.source import Unreadable


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(width: int = 40, height: int = 30) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 6 % 256, y * 8 % 256, (x + y) * 3 % 256], 2).astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + b"\0\0\1\0IDAT"
    )


def reason(raw: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        decode(raw)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "MPO"])
def test_every_format_is_read_as_writable_rgb(kind: str) -> None:
    pixels = decode(encoded(picture(), kind))
    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - np.asarray(picture())).mean() < (
        1 if kind in ("PNG", "BMP", "TIFF", "PPM") else 20
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_is_read(mode: str) -> None:
    image = picture().convert("L").convert(mode) if mode in ("I;16", "I", "F") else picture().convert(mode)
    written = encoded(image, "TIFF")
    if mode == "YCbCr":
        try:
            Image.open(io.BytesIO(written)).load()
        except OSError:
            pytest.skip("Pillow before 12 cannot read what it has written itself")
    assert decode(written).shape == (30, 40, 3)


def test_grey_of_16_bits_is_scaled_and_not_cut_off() -> None:
    values = np.full((8, 8), 40000, np.uint16)
    values[0, 0], values[0, 1], values[0, 2] = 65535, 0, 257
    for kind in ("PNG", "TIFF"):
        pixels = decode(encoded(Image.fromarray(values), kind))
        assert pixels[4, 4].tolist() == [156, 156, 156]
        assert pixels[0, :3, 0].tolist() == [255, 0, 1]


def test_12_bits_in_a_16_bit_file_are_not_black() -> None:
    values = np.full((8, 8), 4095, np.uint16)
    values[0, 0] = 2048
    pixels = decode(encoded(Image.fromarray(values), "PNG"))
    assert pixels[4, 4, 0] == 255
    assert pixels[0, 0, 0] == 128


def test_real_numbers_are_scaled_by_their_own_range() -> None:
    def of(*row: float) -> list[int]:
        values = np.tile(np.array(row, np.float32), (8, 4))
        return decode(encoded(Image.fromarray(values), "TIFF"))[0, : len(row), 0].tolist()

    assert of(0, 0.5, 1) == [0, 128, 255]
    assert of(0, 100, 255) == [0, 100, 255]
    assert of(-1, 0, 1) == [0, 128, 255]
    assert of(0, 1e6) == [0, 255]


def test_a_real_image_with_a_value_that_is_not_a_number_is_refused() -> None:
    values = np.full((8, 8), np.nan, np.float32)
    assert "not finite" in reason(encoded(Image.fromarray(values), "TIFF"))


def test_transparent_pixels_become_white() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (200, 10, 10, 255)
    pixels[4] = (0, 0, 0, 128)
    seen = decode(encoded(Image.fromarray(pixels), "PNG"))
    assert seen[0, 0].tolist() == [200, 10, 10]
    assert seen[4, 0].tolist() == [127, 127, 127]
    assert seen[7, 0].tolist() == [255, 255, 255]
    grey = decode(encoded(Image.fromarray(pixels).convert("LA"), "PNG"))
    assert grey[7, 0].tolist() == [255, 255, 255]


def test_a_transparent_palette_entry_becomes_white_without_a_warning() -> None:
    image = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 16).reshape(8, 8)).convert("P")
    image.putpalette([9, 9, 9, 50, 60, 70, 1, 2, 3, 4, 5, 6])
    opacity = bytes([0, 255, 255, 255])
    seen = decode(encoded(image, "PNG", transparency=opacity))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[2, 0].tolist() == [50, 60, 70]


def test_a_transparent_colour_becomes_white_in_grey_rgb_and_black_and_white() -> None:
    black = Image.new("RGB", (8, 8))
    assert decode(encoded(black, "PNG", transparency=(0, 0, 0)))[0, 0].tolist() == [255, 255, 255]
    assert decode(encoded(black.convert("L"), "PNG", transparency=0))[0, 0].tolist() == [255, 255, 255]
    assert decode(encoded(black.convert("1"), "PNG", transparency=0))[0, 0].tolist() == [255, 255, 255]


def test_cmyk_of_adobe_is_not_inverted() -> None:
    paper = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert decode(encoded(paper, "JPEG"))[8, 8].min() > 250
    red = decode(encoded(ink, "JPEG"))[8, 8]
    assert red[0] > 240
    assert red[1] < 15


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_pixels_and_size(kind: str, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # the upper left is white
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    raw = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    assert header_size(raw) == (32, 16)
    seen = decode(raw)
    assert seen.shape == (16, 32, 3)
    assert seen[2, 2].min() > 240
    assert max(seen[2, -3].max(), seen[-3, 2].max(), seen[-3, -3].max()) < 15


def test_broken_exif_spoils_nothing() -> None:
    raw = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert decode(raw).shape == (30, 40, 3)
    assert header_size(raw) == (40, 30)


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(raw)[8, 8, 0] > 200, kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM"])
def test_a_file_that_ends_early_is_refused(kind: str) -> None:
    raw = encoded(picture(200, 200), kind)
    said = reason(raw[: len(raw) // 2])
    assert "truncated" in said or "damaged" in said
    assert kind.lower() in said.lower()


def test_a_file_cut_within_its_header_is_refused() -> None:
    for kind in ("JPEG", "PNG", "TIFF", "GIF"):
        said = reason(encoded(picture(), kind)[:12])
        assert "truncated" in said
        assert kind in said


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no bytes"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"just some words, renamed to .jpg\n" * 40, "text, not an image"),
        ("Grüße, später abgeschnitten ".encode() * 40, "text, not an image"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"%PDF-1.4\n\xff\xfe", "PDF"),
        (bytes(range(128, 256)) * 20, "not an image"),
    ],
)
def test_what_is_not_an_image_is_called_what_it_is(raw: bytes, said: str) -> None:
    assert said in reason(raw)
    with pytest.raises(Unreadable):
        header_size(raw)


def test_sizes_outside_the_limits_are_refused_with_the_numbers_before_decoding() -> None:
    assert "1 x 1" in reason(encoded(Image.new("RGB", (1, 1)), "PNG"))
    assert "20000 x 10" in reason(encoded(Image.new("L", (20000, 10)), "PNG"))
    assert "400 x 10" in reason(encoded(Image.new("L", (400, 10)), "PNG"))
    assert "16385 x 1000" in reason(png_claiming(16385, 1000))
    assert "2,500,000,000 pixels" in reason(png_claiming(50000, 50000))
    assert decode(encoded(Image.new("L", (320, 10)), "PNG")).shape == (10, 320, 3)


def test_a_large_header_gives_no_warning() -> None:
    assert header_size(png_claiming(12000, 12000)) == (12000, 12000)


def test_warnings_stay_silent_in_many_threads_and_are_restored() -> None:
    raw = png_claiming(12000, 12000)
    before = list(warnings.filters)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(50):
                header_size(raw)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(warnings.filters) == before


def test_arrays_of_any_channels_become_rgb() -> None:
    for shape in ((8, 9), (8, 9, 1), (8, 9, 3), (8, 9, 4)):
        assert decode(np.zeros(shape, np.uint8)).shape == (8, 9, 3)
    assert header_size(np.zeros((8, 9, 3), np.uint8)) == (9, 8)
    with pytest.raises(Unreadable, match="too small"):
        decode(np.zeros((2, 9, 3), np.uint8))


def test_a_tiff_of_four_bands_is_no_photograph_and_one_with_opacity_is() -> None:
    values = np.random.default_rng(0).integers(0, 255, (16, 16, 4)).astype(np.uint8)
    for how, photograph in (("unspecified", False), ("unassalpha", True)):
        file = io.BytesIO()
        tifffile.imwrite(file, values, photometric="rgb", extrasamples=[how])
        if photograph:
            assert decode(file.getvalue()).shape == (16, 16, 3)
        else:
            with pytest.raises(Unreadable, match="4 bands are no photograph; --bands"):
                decode(file.getvalue())
    ink = io.BytesIO()
    Image.fromarray(values, "CMYK").save(ink, "TIFF")
    assert decode(ink.getvalue()).shape == (16, 16, 3)
