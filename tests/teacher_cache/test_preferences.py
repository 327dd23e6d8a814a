"""Preference pairs: ranked alike, resumed to the same bytes, ties left out."""

import math
import random

import numpy as np
import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser, TinyScorer

from adc.cli import main
from adc.data import DegradedClips
from adc.degradation import BicubicDown
from adc.inference.latent import LatentDiffusion
from adc.interfaces import Scorer
from adc.media.tensor_shards import CachedTensors, TensorShards
from adc.metrics.scorer import MetricScorer, NaturalSharpness
from adc.metrics.temporal import sharpness
from adc.ops.random import generator_of
from adc.teacher_cache.preferences import cache_preferences
from adc.testing import check_scorer


def restorer():
    return LatentDiffusion(TinyDenoiser(8), TinyConditioner(), steps=1)


def clips():
    return DegradedClips(BicubicDown(scale=4), 1, frames=1, size=64, workers=0).training_set()


def filled(folder, scorer=None, **options):
    shards = TensorShards(folder, {"of": "test"})
    given = {"shard": 2, "candidates": 3, "dtype": "float32", **options}
    return cache_preferences(shards, clips(), restorer(), scorer or TinyScorer(), 5, **given)


def contents(folder):
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.safetensors"))]


def test_pairs_are_the_best_and_the_worst(tmp_path):
    assert filled(tmp_path) == (5, 0)
    found, one, scorer = CachedTensors(tmp_path), restorer(), TinyScorer()
    for number, facts in enumerate(found.facts):
        item = found[number]
        condition = one.conditioner.condition({"lr": item["lr"][None]})
        samples = []
        for candidate in range(3):
            noise = torch.randn(condition["lr"].shape, generator=generator_of(*facts["seeds"], candidate))
            samples.append(one.sample(condition, noise)[0].detach())
        scores = [scorer(one.conditioner.autoencoder.decode(z[None]).clamp(-1, 1)).item() for z in samples]
        assert facts["scores"] == pytest.approx(scores)
        assert torch.equal(item["chosen"], samples[scores.index(max(scores))])
        assert torch.equal(item["rejected"], samples[scores.index(min(scores))])
        assert torch.equal(item["lr_latents"], condition["lr"][0])


def test_an_unfinished_folder_goes_on_to_the_same_bytes(tmp_path):
    filled(tmp_path / "whole")
    filled(tmp_path / "cut")
    (tmp_path / "cut" / "000000.safetensors").unlink()
    assert filled(tmp_path / "cut") == (2, 0)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert [filled(tmp_path / "two", rank=rank, world=2)[0] for rank in (1, 0)] == [2, 3]
    assert contents(tmp_path / "two") == contents(tmp_path / "whole")


class Lottery(Scorer):
    """What it draws decides, not the clip: equal for all candidates if they get one state."""

    def forward(self, clip):
        return torch.rand(len(clip))


def test_candidates_of_a_clip_get_one_random_state_so_that_a_lottery_has_no_winner(tmp_path):
    state = torch.random.get_rng_state()
    assert filled(tmp_path, Lottery()) == (0, 5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert filled(tmp_path, Lottery()) == (0, 5)  # counted again
    assert TensorShards(tmp_path, {"of": "test"}).facts(0) == []
    with pytest.raises(FileNotFoundError, match="holds no clip yet"):
        CachedTensors(tmp_path)


class Mixed(Scorer):
    """Draws from all three generators; with one state for a clip, only the clip decides."""

    def forward(self, clip):
        drawn = torch.rand(()).item() + random.random() + np.random.rand()
        return clip.flatten(1).std(dim=1) * drawn


def test_scores_do_not_depend_on_what_a_process_drew_before(tmp_path):
    for name, seed in (("one", 1), ("two", 2)):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        filled(tmp_path / name, Mixed())
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


class Broken(Scorer):
    """Not a number for some."""

    def forward(self, clip):
        return torch.full((len(clip),), float("nan"))


def test_a_score_that_is_no_number_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"scorer: Broken rates candidates of .* scores must be finite"):
        filled(tmp_path, Broken())


def test_a_restorer_of_another_scale_is_refused(tmp_path):
    other = LatentDiffusion(TinyDenoiser(8), TinyConditioner(scale=2), steps=1)
    with pytest.raises(ValueError, match="restorer: enlarges 2 times, but HR is 64 pixels wide, LR 16; give it the"):
        cache_preferences(TensorShards(tmp_path, {}), clips(), other, TinyScorer(), 1)


def test_a_damaged_shard_is_named_by_the_command_that_fills(tmp_path):
    filled(tmp_path)
    (tmp_path / "000001.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"000001.safetensors: is damaged"):
        filled(tmp_path)


def test_natural_sharpness_has_its_optimum_at_the_target_and_at_lr():
    torch.manual_seed(0)
    clip = torch.randn(1, 1, 3, 32, 32) * 0.1
    lr = torch.nn.functional.adaptive_avg_pool2d(clip[0], 8)[None]
    target = sharpness(clip).item()
    best = NaturalSharpness(target)
    assert best(clip).item() == pytest.approx(0, abs=1e-5)
    assert best.rate(clip, lr).item() == pytest.approx(0, abs=1e-5)
    assert best.rate(clip, lr + 0.1).item() == pytest.approx(-20 * 0.01, rel=1e-3)
    for factor in (0.5, 2.0):
        assert NaturalSharpness(target * factor)(clip).item() == pytest.approx(-math.log(2), rel=1e-3)
    check_scorer(best)


def test_a_metric_scores_by_its_name():
    rising, falling = MetricScorer("sharpness"), MetricScorer("unsteadiness")
    clip = torch.rand(2, 3, 3, 32, 32) * 2 - 1
    assert rising(clip).shape == (2,)
    assert (falling(clip) < 0).all()
    with pytest.raises(ValueError, match="metric: psnr_y compares with a reference"):
        MetricScorer("psnr_y")


RECIPE = """
folder: {folder}
preferences: {{count: 3, shard: 2, candidates: 2}}
scorer: TinyScorer
restorer:
  class_path: OneStepVideo
  init_args: {{denoiser: TinyDenoiser, conditioner: TinyConditioner}}
data:
  class_path: DegradedClips
  init_args: {{frames: 1, size: 64, batch_size: 1, workers: 0, degradation: {{class_path: BicubicDown}}}}
"""


def test_the_command(tmp_path, capsys):
    recipe, folder = tmp_path / "0_pairs.yaml", tmp_path / "pairs"
    recipe.write_text(RECIPE.format(folder=folder))

    def command(*options):
        with pytest.raises(SystemExit) as stop:
            main(["cache-preferences", "-c", str(recipe), *options])
        printed = capsys.readouterr()
        return stop.value.code, printed.out + printed.err

    assert command()[0] == 0
    status, text = command()
    assert status == 0
    assert "0 pairs ranked now, 0 clips without one, of 3" in text
    assert command("--preferences.candidates", "1") == (
        2, "adc: error: --preferences.candidates: 1; at least 2.\n")  # fmt: skip
    status, text = command("--preferences.candidates", "3")
    assert (status, "was made with candidates 2, not 3" in text) == (1, True)
    status, text = command("--restorer", "Bicubic")
    assert (status, "restorer: Bicubic samples no latents" in text) == (2, True)
