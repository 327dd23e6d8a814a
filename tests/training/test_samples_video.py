import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from torch.utils.data import DataLoader
from training import regression, trainer

from adc.ops.clip import to_unit, upsample_bicubic
from adc.ops.temporal import profiles
from adc.training.callbacks import Samples

FRAMES = (3, 4, 1)


def clip(frames, seed):
    """A picture that slides to the right, small and large."""
    wide = torch.rand(1, 3, 12, 40, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    wide = torch.nn.functional.interpolate(wide, scale_factor=4, mode="bilinear")
    hr = torch.cat([wide[..., 4 * t : 4 * t + 64] for t in range(frames)])
    return {"lr": hr[..., ::4, ::4].clone(), "hr": hr, "name": str(seed)}


class Wall(DummyLogger):
    def __init__(self):
        super().__init__()
        self.images = {}

    @property
    def experiment(self):
        return self

    def add_image(self, name, grid, step):
        self.images[name] = grid


def validated(frames, callbacks=(), logger=False):
    stage = regression()
    clips = [clip(count, seed) for seed, count in enumerate(frames)]
    run = trainer(None, callbacks, limit_val_batches=1.0, logger=logger)
    (figures,) = run.validate(stage, DataLoader(clips, batch_size=1), verbose=False)
    return stage, clips, figures


def test_samples_of_clips_are_frames_and_profiles():
    wall = Wall()
    stage, clips, _ = validated(FRAMES, [Samples(clips=3, size=32)], wall)
    assert set(wall.images) == {"validation/bicubic_restored_truth", "validation/temporal_profiles"}
    grid = wall.images["validation/temporal_profiles"]
    assert grid.shape == (3, 2 * 96, 3 * 32)
    lr, hr = (clips[1][key][None] for key in ("lr", "hr"))
    with torch.no_grad():
        views = [upsample_bicubic(lr, 4), stage.restorer.restore(lr), hr]
    torch.testing.assert_close(grid[:, 96:], to_unit(torch.cat(profiles(views, 32), dim=-1)))
    middle = wall.images["validation/bicubic_restored_truth"][:, :32, 64:]
    assert torch.equal(middle, to_unit(clips[0]["hr"][1, :, 8:40, 16:48]))


def test_images_have_no_profiles():
    wall = Wall()
    validated((1, 1), [Samples(clips=2, size=32)], wall)
    assert set(wall.images) == {"validation/bicubic_restored_truth"}


def test_validation_measures_motion_too():
    pytest.importorskip("cv2")
    from adc.metrics.clips import clip_figures
    from adc.ops.clip import quantize

    stage, clips, figures = validated((3, 3))
    names = ("psnr_y", "ssim_y", "flicker", "ewarp", "sharpness")
    assert set(figures) == {f"validation/{name}" for name in names}
    with torch.no_grad():
        told = [clip_figures(quantize(stage.restorer.restore(c["lr"][None])), c["hr"][None]) for c in clips]
    for name in names:
        mean = sum(one[name].item() for one in told) / 2
        assert figures[f"validation/{name}"] == pytest.approx(mean, rel=1e-5), name


def test_validation_of_images_is_as_it_was():
    _, _, figures = validated((1, 1))
    assert set(figures) == {"validation/psnr_y", "validation/ssim_y"}
