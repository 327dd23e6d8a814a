"""Latents that were computed once: exact, resumable, and refused where they are of something else."""

from pathlib import Path

import pytest
import torch
from adc_tiny import TinyConditioner
from safetensors import SafetensorError

from adc.cli import main
from adc.data import CachedClips, DegradedClips
from adc.degradation import BicubicDown
from adc.media.tensor_shards import CachedTensors, TensorShards
from adc.ops.clip import soften
from adc.teacher_cache.latents import cache_latents


def data(**more):
    options = {"frames": 2, "size": 64, "workers": 0, "validation_limit": 1, "validation_size": 64, **more}
    return DegradedClips(BicubicDown(scale=4), 1, **options)


def filled(folder, **options):
    shards = TensorShards(folder, {"of": "test"})
    return cache_latents(shards, data().training_set(), TinyConditioner(), 5, shard=2, dtype="float32", **options)


def contents(folder):
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.safetensors"))]


def test_latents_are_those_of_the_clips(tmp_path):
    assert filled(tmp_path, negative_factor=4) == 5
    clips, conditioner = CachedTensors(tmp_path), TinyConditioner()
    assert len(clips) == 5
    by_name = {item["name"]: item for item in (data().training_set()[0, index] for index in range(11))}
    for item in (clips[number] for number in range(5)):
        batch = {k: v[None] if isinstance(v, torch.Tensor) else [v] for k, v in by_name[item["name"]].items()}
        assert torch.equal(item["lr"], batch["lr"][0])
        assert torch.equal(item["hr_latents"], conditioner.clean(batch)[0])
        assert torch.equal(item["lr_latents"], conditioner.condition(batch)["lr"][0])
        softened = conditioner.autoencoder.encode(soften(batch["hr"], 4))[0]
        assert torch.equal(item["negative_latents"], softened)
        assert (softened - item["hr_latents"]).abs().max() > 0.01


def test_an_unfinished_folder_goes_on_to_the_same_bytes(tmp_path):
    filled(tmp_path / "whole")
    filled(tmp_path / "cut")
    (tmp_path / "cut" / "000001.safetensors").unlink()
    assert filled(tmp_path / "cut") == 2
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_two_processes_share_the_work(tmp_path):
    filled(tmp_path / "one")
    assert [filled(tmp_path / "two", rank=rank, world=2) for rank in (1, 0)] == [2, 3]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_softening_keeps_what_is_coarse_and_drops_what_is_fine():
    rows = torch.arange(64.0)
    coarse = torch.cos(rows * torch.pi / 32).expand(1, 1, 3, 64, 64)
    fine = torch.cos(rows * torch.pi).expand(1, 1, 3, 64, 64)
    assert (soften(coarse, 4) - coarse)[..., 8:-8].abs().max() < 0.05
    assert soften(fine, 4)[..., 8:-8].abs().max() < 0.05


def test_another_origin_is_refused(tmp_path):
    TensorShards(tmp_path, {"count": 5})
    with pytest.raises(ValueError, match="was made with count 5, not 6; name another one"):
        TensorShards(tmp_path, {"count": 6})


def test_a_damaged_or_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no tensors that were cached"):
        CachedTensors(tmp_path)
    TensorShards(tmp_path, {})
    with pytest.raises(FileNotFoundError, match="holds no clip yet"):
        CachedTensors(tmp_path)
    (tmp_path / "000000.safetensors").write_bytes(b"not a shard")
    with pytest.raises(ValueError, match=r"000000.safetensors: is damaged .* delete it and fill the folder again"):
        CachedTensors(tmp_path)


def test_shards_of_another_folder_or_place_are_refused(tmp_path):
    filled(tmp_path / "one")
    shards = TensorShards(tmp_path / "other", {"of": "another recipe"})
    first = (tmp_path / "one" / "000000.safetensors").read_bytes()
    for folder, name in (("other", "000000"), ("one", "000007")):
        (tmp_path / folder / f"{name}.safetensors").write_bytes(first)
        with pytest.raises(ValueError, match=rf"{name}.safetensors: belongs to another folder or place; delete it"):
            CachedTensors(tmp_path / folder)
    with pytest.raises(ValueError, match="belongs to another folder or place"):
        shards.facts(0)
    (tmp_path / "one" / "shards.json").write_text("[]")
    with pytest.raises(ValueError, match=r"shards.json: cannot be read \(no mapping\); delete the folder"):
        filled(tmp_path / "one")
    with pytest.raises(ValueError, match=r"000007.safetensors: is no folder"):
        TensorShards(tmp_path / "one" / "000007.safetensors", {})


def test_a_full_disk_leaves_whole_shards_only(tmp_path, monkeypatch):
    def fail(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match=r"000000.safetensors: cannot be written \(No space left on device\)"):
        filled(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["shards.json"]


def test_a_conditioner_of_another_scale_is_refused(tmp_path):
    shards = TensorShards(tmp_path, {})
    with pytest.raises(ValueError, match=r"latents of HR are .* LR enlarged 2 times .* give it the scale of the data"):
        cache_latents(shards, data().training_set(), TinyConditioner(scale=2), 1)
    assert not list(tmp_path.glob("*.safetensors"))


def test_batches_of_a_folder_begin_and_go_on(tmp_path):
    filled(tmp_path)
    module = CachedClips(str(tmp_path), 2, validation=data())
    module.setup("fit")
    batches = iter(module.train_dataloader())
    first, second = next(batches), next(batches)
    assert first["hr_latents"].shape == (2, 2, 12, 16, 16)
    assert "hr" not in first
    module.load_state_dict({"position": 2})
    again = next(iter(module.train_dataloader()))
    assert again["name"] == second["name"]
    assert torch.equal(again["hr_latents"], second["hr_latents"])
    (validation,) = module.val_dataloader()
    assert validation["hr"].shape == (1, 2, 3, 64, 64)


RECIPE = """
folder: {folder}
latents: {{count: 3, shard: 2}}
conditioner: TinyConditioner
data:
  class_path: DegradedClips
  init_args: {{frames: 1, size: 64, batch_size: 1, workers: 0, degradation: {{class_path: BicubicDown}}}}
"""


def test_the_command(tmp_path, capsys):
    recipe, folder = tmp_path / "0_latents.yaml", tmp_path / "latents"
    recipe.write_text(RECIPE.format(folder=folder))
    for encoded in (3, 0):
        with pytest.raises(SystemExit) as stop:
            main(["cache-latents", "-c", str(recipe)])
        assert stop.value.code == 0
        assert f"{encoded} of 3 clips encoded now" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["cache-latents", "-c", str(recipe), "--latents.count", "0"])
    assert stop.value.code == 2
    assert "--latents.count: 0; at least 1" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["cache-latents", "-c", str(recipe), "--latents.count", "4"])
    assert stop.value.code == 1
    assert "was made with count 3, not 4" in capsys.readouterr().err


def test_a_cpu_without_bfloat16_computes_in_float32(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("adc.progress._visible", True)
    monkeypatch.setattr("adc.training.precision.has_kernels", lambda kind: False)
    found = {}
    for precision in ("float32", "bfloat16"):
        recipe = tmp_path / f"{precision}.yaml"
        recipe.write_text(RECIPE.format(folder=tmp_path / precision))
        with pytest.raises(SystemExit) as stop:
            main(["cache-latents", "-c", str(recipe), "--latents.precision", precision])
        assert stop.value.code == 0
        note = "latents.precision: bfloat16 would take tens of times as long on this CPU; computing in float32"
        assert (note in capsys.readouterr().err) == (precision == "bfloat16")
        found[precision] = contents(tmp_path / precision)
    assert found["float32"] == found["bfloat16"]  # what they say of themselves included


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_when_its_clip_is_read(tmp_path):
    filled(tmp_path)
    flip_last_byte(tmp_path / "000000.safetensors")
    clips = CachedTensors(tmp_path)
    assert clips[0]["name"]
    with pytest.raises(
        ValueError, match=r"000000\.safetensors: '\w+' of .* is damaged .* delete it and fill the folder"
    ):
        clips[1]
