import sys

import pytest
import torch
import torch.nn.functional as F

from adc.degradation.codec import CODECS, recode, require_encoders


def clip(frames=6, height=64, width=96):
    """A soft pattern that moves by two pixels a frame."""
    coarse = torch.rand(1, 3, height // 8 + 1, width // 8 + 4, generator=torch.Generator().manual_seed(0))
    wide = F.interpolate(coarse, size=(height, width + 2 * frames), mode="bicubic").clamp(0, 1)
    return [wide[..., 2 * number : 2 * number + width] for number in range(frames)]


def psnr(first, second):
    return -10 * torch.log10(torch.cat([(a - b).square().flatten() for a, b in zip(first, second, strict=True)]).mean())


@pytest.mark.parametrize("codec", CODECS)
def test_round_trip(codec):
    generator = torch.Generator().manual_seed(0)
    frames = [frame[:, :1] + 0.1 * torch.randn(frame[:, :1].shape, generator=generator) for frame in clip(12)]
    frames = [frame.clamp(0, 1).expand(-1, 3, -1, -1) for frame in frames]
    fine, coarse = recode(frames, codec, 100_000), recode(frames, codec, 10_000)
    assert 35 < psnr(fine, frames) < 60
    assert psnr(coarse, frames) < psnr(fine, frames) - 8
    steps = torch.cat(fine) * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_make_the_same_film_wherever_memory_lies(codec):
    generator, clutter = torch.Generator().manual_seed(0), []
    frames = [(frame + 0.1 * torch.randn(frame.shape, generator=generator)).clamp(0, 1) for frame in clip(12)]
    films = set()
    for size in range(1, 13):
        clutter.extend(bytes([number]) * (size * 977 * number + 1) for number in range(1, 24))
        del clutter[::2]
        films.add(torch.cat(recode(frames, codec, 100_000)).numpy().tobytes())
    assert len(films) == 1


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("frames", [1, 2, 33])
def test_no_frame_is_lost_and_their_order_is_kept(codec, frames):
    shown = [torch.full((1, 3, 32, 32), 0.1 + 0.8 * number / 33) for number in range(frames)]
    back = recode(shown, codec, 100_000)
    assert len(back) == frames
    assert all((a - b).abs().max() < 0.02 for a, b in zip(back, shown, strict=True))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(17, 33), (2, 2), (1, 5), (16, 18)])
def test_odd_and_tiny_sizes(codec, size):
    shown = [F.interpolate(frame, size=size, mode="area") for frame in clip(3)]
    back = recode(shown, codec, 200_000)
    assert [frame.shape for frame in back] == [(1, 3, *size)] * 3
    gray = [frame.mean(1, keepdim=True).expand(-1, 3, -1, -1) for frame in shown]
    assert psnr(recode(gray, codec, 200_000), gray) > 25


def test_frames_of_other_sizes_take_the_size_of_the_first():
    first, *others = clip(5)
    sizes = [(60, 90), (66, 98), (64, 96), (20, 30)]
    mixed = [
        first,
        *[F.interpolate(frame, size=size, mode="bilinear") for frame, size in zip(others, sizes, strict=True)],
    ]
    back = recode(mixed, "libx264", 100_000)
    assert [frame.shape for frame in back] == [(1, 3, 64, 96)] * 5
    assert psnr(back[:4], clip(5)[:4]) > 28


@pytest.mark.parametrize("codec", CODECS)
def test_colours_keep_their_range_and_matrix(codec):
    for color in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.2, 0.5, 0.7)):
        flat = torch.tensor(color).view(1, 3, 1, 1).expand(-1, -1, 32, 48)
        assert (recode([flat, flat], codec, 100_000)[1] - flat).abs().max() < 0.03


def test_values_outside_do_not_wrap_around():
    beyond = torch.full((1, 3, 16, 16), 1.3)
    beyond[..., 8:] = -0.4
    assert (recode([beyond] * 2, "mpeg4", 100_000)[0] - beyond.clamp(0, 1)).abs().mean() < 0.02


def test_a_missing_encoder_is_named_with_the_way_out():
    require_encoders(CODECS)
    with pytest.raises(
        ValueError, match=r"codec_probabilities: .* no encoder 'libx999'.*probability 0.*codec_passes: 0"
    ):
        require_encoders(["mpeg4", "libx999"])


def test_a_missing_library_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"codec_passes: .*PyAV.*codec_passes: 0"):
        require_encoders(["mpeg4"])


def test_a_lost_frame_is_an_error(monkeypatch):
    import adc.degradation.codec as codec

    randint = codec._decoded
    monkeypatch.setattr(codec, "_decoded", lambda file: randint(file)[1:])
    with pytest.raises(RuntimeError, match="mpeg4 gave back 2 of 3 frames of 96x64"):
        recode(clip(3), "mpeg4", 100_000)
