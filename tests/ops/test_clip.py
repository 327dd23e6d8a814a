import pytest
import torch
import torch.nn.functional as F

from adc.ops.clip import per_frame, per_position, quantize, to_unit, upsample_bicubic


def test_frames_go_through_a_function_one_by_one():
    clip = torch.rand(2, 3, 4, 6, 8)
    result = per_frame(lambda x: F.avg_pool2d(x, 2)[:, :1], clip)
    assert result.shape == (2, 3, 1, 3, 4)
    for b in range(2):
        for t in range(3):
            assert torch.equal(result[b, t], F.avg_pool2d(clip[b, t], 2)[:1])


def test_positions_go_through_a_function_one_by_one():
    clip = torch.rand(2, 5, 3, 4, 6)
    result = per_position(lambda x: x.cumsum(2)[:, 1:], clip)
    assert torch.equal(result, clip.cumsum(1)[:, :, 1:])
    shorter = per_position(lambda x: F.avg_pool1d(x, 5), clip)
    torch.testing.assert_close(shorter, clip.mean(1, keepdim=True))


def test_enlarging_is_bicubic_without_antialiasing():
    clip = torch.rand(1, 2, 3, 5, 7)
    expected = F.interpolate(clip[0], size=(20, 28), mode="bicubic", align_corners=False)
    assert torch.allclose(upsample_bicubic(clip, 4)[0], expected, atol=1e-6)
    assert upsample_bicubic(clip, 1) is clip


def test_enlarging_keeps_flat_clips_and_overshoots_at_edges():
    assert torch.allclose(upsample_bicubic(torch.full((1, 1, 3, 4, 4), 0.3), 4), torch.tensor(0.3))
    edge = torch.ones(1, 1, 1, 4, 8)
    edge[..., 4:] = -1
    assert upsample_bicubic(edge, 4).max() > 1.01


def test_units_are_clamped():
    assert to_unit(torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [0, 0, 0.5, 1, 1]


def test_quantizing_keeps_bytes_and_rounds_the_rest():
    values = torch.arange(256) / 255 * 2 - 1
    assert torch.allclose(quantize(values), values, atol=1e-6)
    assert torch.allclose(quantize(values + 0.9 / 255), values, atol=1e-6)
    assert quantize(torch.tensor([-1.5, 1.5])).tolist() == pytest.approx([-1, 1])
