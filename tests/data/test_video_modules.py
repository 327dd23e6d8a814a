import logging
from itertools import islice

import numpy as np
import pytest
import torch
from filming import film, frames_of, picture
from lightning.pytorch import LightningModule, Trainer

from adc.data import Augmentation, Camera, ClipData, DegradedClips, PairedClips
from adc.degradation import BicubicDown, SecondOrder
from adc.media.images import write_image

pytest.importorskip("av")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for index in range(3):
        film(root / "files" / f"{index}.mp4", [picture(40 * index + number) for number in range(14)], g=6, bf=2)
    frames_of(root / "frames", [picture(300 + number) for number in range(8)])
    return str(root)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for index in range(3):
        write_image(root / f"{index}.png", np.random.default_rng(index).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return str(root)


class Counting(LightningModule):
    """Remembers what it is shown; counts batches as a stage does."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches_seen, self.seen, self.validated = 0, [], []

    def training_step(self, batch, index):
        self.batches_seen += 1
        self.seen.append(batch)
        return self.weight * batch["lr"].mean()

    def validation_step(self, batch, index):
        self.validated.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["batches"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint):
        self.batches_seen = checkpoint["batches"]


def fit(data, steps, tmp_path, resume=None):
    module = Counting()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        enable_checkpointing=False,
        val_check_interval=2,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
        **quiet,
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    return module


def degraded(folder, **options):
    settings = {"batch_size": 2, "train_dir": folder, "val_dir": folder, "frames": 3, "size": 32, "workers": 0}
    return DegradedClips(SecondOrder(), **(settings | {"multiple": 2, "cache": 2} | options))


def batches(data, number):
    data.setup("fit")
    return list(islice(data.train_dataloader(), number))


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) if torch.is_tensor(first[key]) else first[key] == second[key]
        for key in first
    )


def test_batches_have_the_agreed_keys_and_shapes(folder, photos):
    batch = batches(degraded(folder), 1)[0]
    assert batch.keys() == {"lr", "hr", "name"} and len(batch["name"]) == 2
    assert batch["lr"].shape == (2, 3, 3, 8, 8) and batch["hr"].shape == (2, 3, 3, 32, 32)
    for stills in (True, photos):
        batch = batches(degraded(folder, stills=stills), 1)[0]
        assert batch.keys() == {"lr", "hr", "name", "stills"} and batch["stills"].shape == batch["hr"].shape
        assert batch["stills"].abs().max() <= 1
    assert isinstance(degraded(folder), ClipData)


def test_stills_come_from_where_they_are_said_to(folder, photos):
    noisy = batches(degraded(folder, stills=photos), 1)[0]["stills"]
    smooth = batches(degraded(folder, stills=True), 1)[0]["stills"]
    assert (noisy.diff(dim=-1).abs().mean(dim=(2, 3, 4)) > 0.5).all(), "the photos are noise"
    assert (smooth.diff(dim=-1).abs().mean(dim=(2, 3, 4)) < 0.2).all(), "the videos are not"


@pytest.mark.parametrize("source", ["videos", "camera"])
def test_any_number_of_workers_makes_the_same_clips(folder, photos, source):
    where = {"train_dir": folder} if source == "videos" else {"train_dir": photos, "camera": Camera(foreground=1)}
    expected = batches(degraded(folder, stills=True, **where), 5)
    for workers in (1, 2):
        found = batches(degraded(folder, stills=True, workers=workers, cache=0, **where), 5)
        assert all(same(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert not any(same(expected[0], other) for other in expected[1:])


def test_a_resumed_run_sees_what_comes_next(folder, tmp_path):
    randint = fit(degraded(folder), 6, tmp_path)
    fit(degraded(folder), 4, tmp_path)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["DegradedClips"] == {"position": 8}
    rest = fit(degraded(folder, workers=1), 6, tmp_path, tmp_path / "last.ckpt")
    assert len(rest.seen) == 2
    assert all(same(ours, theirs) for ours, theirs in zip(rest.seen, randint.seen[4:], strict=True))


def test_validation_repeats_and_is_whole_unless_it_is_cut(folder, tmp_path):
    module = fit(degraded(folder, validation_frames=5, validation_limit=3), 4, tmp_path)
    assert [batch["name"] for batch in module.validated] == [["files/0"], ["files/1"], ["files/2"]] * 2
    assert module.validated[0]["hr"].shape == (1, 5, 3, 64, 96)
    assert all(same(a, b) for a, b in zip(module.validated[:3], module.validated[3:], strict=True))
    data = degraded(folder, validation_size=24)
    data.setup("validate")
    assert next(iter(data.val_dataloader()))["lr"].shape == (1, 3, 3, 6, 6)


def test_a_camera_over_the_bundled_photos_is_there_without_a_folder():
    data = degraded(None, val_dir=None, stills=True, multiple=4, validation_limit=2)
    batch = batches(data, 1)[0]
    assert batch["hr"].shape == batch["stills"].shape == (2, 3, 3, 32, 32)
    assert any(not torch.equal(clip[0], clip[-1]) for clip in batch["hr"])
    validation = list(data.val_dataloader())
    assert [item["name"] for item in validation] == [["astronaut"], ["chelsea"]]
    assert validation[0]["hr"].shape == (1, 3, 3, 32, 32)
    assert {"astronaut", "chelsea", "coffee", "rocket"}.isdisjoint(
        name for item in batches(degraded(None), 6) for name in item["name"]
    )


def test_a_camera_over_photos_of_ones_own(photos):
    data = degraded(photos, val_dir=photos, camera=Camera(), validation_size=40, multiple=2)
    batch = batches(data, 1)[0]
    assert set(batch["name"]) <= {"0", "1", "2"} and batch["hr"].shape == (2, 3, 3, 32, 32)
    assert next(iter(data.val_dataloader()))["hr"].shape == (1, 3, 3, 40, 40)
    with pytest.raises(ValueError, match=r"\.png: 64x48 pixels are smaller than the crop \(size: 56\)"):
        batches(degraded(photos, camera=Camera(), size=56), 1)
    assert batches(degraded(photos, camera=Camera(), size=56, small="reflect"), 1)[0]["hr"].shape[-1] == 56


def test_one_frame_is_a_clip(folder):
    for where in (folder, None):
        batch = batches(degraded(where, frames=1, stills=True), 1)[0]
        assert batch["hr"].shape == batch["stills"].shape == (2, 1, 3, 32, 32)


def test_what_was_passed_over_is_named_at_the_end(tmp_path, caplog):
    film(tmp_path / "a.mp4", [picture(number) for number in range(6)])
    (tmp_path / "b.mp4").write_text("no video")
    data = degraded(str(tmp_path), broken="skip", stills=True)
    assert batches(data, 3)[0]["name"] == ["a", "a"]
    with caplog.at_level(logging.WARNING):
        data.teardown("fit")
    assert f"1 broken files were skipped (decoding 1): {tmp_path}/b.mp4" in caplog.text


def test_an_error_of_a_worker_reaches_the_caller_as_it_was_raised(folder):
    with pytest.raises(ValueError, match=r"^\S+: \d+ frames are fewer than the 20 that frames: 20 with stride: 1 need"):
        batches(degraded(folder, frames=20, workers=1), 1)


def test_pairs(tmp_path):
    for name in "abc":
        small = [picture(number)[::4, ::4] for number in range(8)]
        frames_of(tmp_path / name / "lq", small)
        film(tmp_path / name / "sr.mp4", [np.kron(frame, np.ones((4, 4, 1), np.uint8)) for frame in small], crf=1)
    places = {"lr": f"{tmp_path}/*/lq", "hr": f"{tmp_path}/*/sr.mp4"}
    data = PairedClips(**places, batch_size=2, frames=3, size=32, workers=0, stills=True)
    batch = batches(data, 1)[0]
    assert batch.keys() == {"lr", "hr", "name", "stills"} and set(batch["name"]) <= {"a", "b", "c"}
    enlarged = batch["lr"].repeat_interleave(4, 3).repeat_interleave(4, 4)
    assert (batch["hr"] - enlarged).abs().mean() < 0.1
    assert data.val_dataloader() == []
    validation = {"val_lr": places["lr"], "val_hr": places["hr"]}
    data = PairedClips(**places, batch_size=2, frames=3, size=32, workers=1, multiple=4, **validation)
    module = fit(data, 2, tmp_path)
    assert module.seen[0]["hr"].shape == (2, 3, 3, 32, 32) and len(module.validated) == 3
    assert torch.equal(module.seen[0]["hr"], batch["hr"]), "stills and workers change nothing"


def test_bad_settings_name_their_key(folder):
    for options, message in (
        ({"frames": 0}, "frames: 0 is less than 1"),
        ({"stride": 0}, "stride: 0"),
        ({"validation_frames": 0}, "validation_frames: 0"),
        ({"size": 30}, "size: 30 is not a multiple of the scale 4"),
        ({"validation_size": 4}, "validation_size: 4"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            degraded(folder, **options)
    with pytest.raises(ValueError, match="val_lr and val_hr"):
        PairedClips(folder, folder, 1, val_lr=folder)
    with pytest.raises(ValueError, match="scale: 0"):
        PairedClips(folder, folder, 1, scale=0)


def test_what_is_missing_is_missed_in_setup(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        DegradedClips(BicubicDown(), 1, frames=2, train_dir="nowhere").setup("fit")
    with pytest.raises(ValueError, match="neither a video"):
        DegradedClips(BicubicDown(), 1, frames=2, train_dir=str(tmp_path)).setup("fit")


def test_recipes_name_them_by_their_bare_names(tmp_path):
    from adc.cli.parser import PARSER_OPTIONS, OneLineErrors, load_components
    from adc.components import own_components
    from adc.interfaces import Source

    kinds = {component.name: component.kind for component in own_components()}
    assert kinds["DegradedClips"] == kinds["PairedClips"] == "DataModule"
    assert not kinds.keys() & {"VideoClips", "PairClips", "CameraClips"}
    assert kinds["StillImage"] == kinds["Slideshow"] == "Source"
    load_components(training=True)
    parser = OneLineErrors(**PARSER_OPTIONS)
    parser.add_argument("--data", type=ClipData)
    parser.add_argument("--source", type=Source)
    for stills in ("true", "photos/lsdir"):
        recipe = tmp_path / "a.yaml"
        recipe.write_text(
            "source: Slideshow\ndata: {class_path: DegradedClips, init_args: {batch_size: 1, degradation: BicubicDown,"
            f" stills: {stills}, camera: {{class_path: Camera, init_args: {{speed: 2.0}}}}}}}}\n"
        )
        built = parser.instantiate(parser.parse_path(recipe))
        assert type(built.source).__name__ == "Slideshow"
        assert built.data.stills == (True if stills == "true" else stills) and built.data.camera.speed == 2


def test_videos_have_captions_augmentation_and_degradation_on_the_device(tmp_path):
    for index in range(2):
        film(tmp_path / f"{index}.mp4", [picture(40 * index + number) for number in range(8)])
        (tmp_path / f"{index}.txt").write_text(f"waves {index}\n")
    options = {
        "captions": True,
        "val_dir": str(tmp_path),
        "augment": Augmentation(0.8, turn=True, colors=True, blend=1),
    }
    expected = batches(degraded(str(tmp_path), **options), 2)
    assert expected[0]["text"] == [f"waves {name}" for name in expected[0]["name"]]
    plain = batches(degraded(str(tmp_path), captions=True), 2)
    assert plain[0]["name"] == expected[0]["name"] and not torch.equal(plain[0]["hr"], expected[0]["hr"])
    later = degraded(str(tmp_path), degrade="device", **options)
    for batch, other in zip(batches(later, 2), expected, strict=True):
        assert "lr" not in batch and same(later.on_after_batch_transfer(batch, 0), other)
    assert next(iter(later.val_dataloader()))["text"] == ["waves 0"]
