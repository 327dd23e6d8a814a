"""Answers kept are the answers of the live teacher, to the last bit; others are refused by name."""

import pytest
import torch
from adc_sd21 import OSEDiff
from adc_tiny import Bicubic, TinySpace, TinyTeacher
from torch import nn

from adc.interfaces import FeatureSpace, Teacher
from adc.ops.clip import per_frame, quantize
from adc.teacher_cache.store import (
    ShardWriter,
    fingerprint,
    keys_of,
    on_grid,
    prompt_fingerprint,
    same_prompt,
    shards_of,
    write_index,
)
from adc.teacher_cache.teacher import CachedTeacher, UnknownClipError, run_teacher

BOTH = ("pixel", "feature")


class Told(Teacher):
    """Adds its prompt's mean."""

    takes_prompt = True

    def restore(self, lr, generator=None, prompt=None):
        return lr.repeat_interleave(4, -1).repeat_interleave(4, -2) + prompt.mean()

    def features(self, lr, space, prompt):
        return space.embed(self.restore(lr, prompt=prompt))

    def restore_with_features(self, lr, space, prompt):
        pixels = self.restore(lr, prompt=prompt)
        return pixels, space.embed(pixels)


class Doubling(Bicubic):
    def features(self, lr, space):
        return 2 * super().features(lr, space)


class Stem(FeatureSpace):
    """A convolution of latents, laid out as a stage lays it out."""

    def __init__(self, channels):
        super().__init__()
        self.layer = nn.Conv2d(channels, 8, 3, padding=1).to(memory_format=torch.channels_last)

    def embed(self, pixels):
        return per_frame(nn.PixelUnshuffle(4), pixels)

    def project_latents(self, projected):
        return per_frame(self.layer, projected)


def clips(seed=0, count=3, size=16):
    generator = torch.Generator().manual_seed(seed)
    return quantize(torch.rand(count, 1, 3, size, size, generator=generator) * 2 - 1)


def index_of(teacher, prompt=None, **changes):
    about = {
        "teacher": {"class_path": f"somewhere.{type(teacher).__name__}", "init_args": {}},
        "weights": fingerprint(teacher),
        "scale": teacher.scale,
        "takes_prompt": teacher.takes_prompt,
        "prompt": prompt,
        "data": {"class_path": "adc.data.DegradedClips", "init_args": {"seed": 3, "size": 64, "augment": None}},
        "domains": list(BOTH),
    }
    return {**about, "world": 1, "span": 1, "batches": 2, **changes}


@torch.no_grad()
def keep(folder, teacher, batches, domains=BOTH, numbers="exact", prompts=(), **changes):
    """A cache with a shard for each batch."""
    teacher.eval().to(memory_format=torch.channels_last)
    named = {"class_path": "Words"} if prompts else None
    settings = {"batches": len(batches), "domains": list(domains), "numbers": numbers, **changes}
    index = write_index(folder, index_of(teacher, named, **settings))
    for number, lr in enumerate(batches):
        told = {"prompt": prompts[number]} if prompts else {}
        pending = ShardWriter()
        answer = run_teacher(teacher, lr, domains, **told)
        pending.add(keys_of(lr), answer, prompt_fingerprint(prompts[number]) if prompts else None, numbers)
        pending.write(folder, shards_of(index, 0)[number], index)
    return CachedTeacher(str(folder))


def laid_out_alike(one, other):
    sizes = [place for place, size in enumerate(one.shape) if size > 1]
    return [one.stride(place) for place in sizes] == [other.stride(place) for place in sizes]


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bf16-mixed"])
@pytest.mark.parametrize("make", [TinyTeacher, Bicubic, lambda: OSEDiff("demo")], ids=["tiny", "bicubic", "osediff"])
@torch.no_grad()
def test_answers_are_the_teachers_to_the_last_bit(make, mixed, tmp_path):
    live = make()
    space = Stem(live.latent_channels if isinstance(live, OSEDiff) else 12)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        cached = keep(tmp_path, live, [clips(0), clips(1)])
        lr = clips(1)
        pairs = [
            (cached.restore(lr), live.restore(lr)),
            (cached.features(lr, space), live.features(lr, space)),
            *zip(cached.restore_with_features(lr, space), live.restore_with_features(lr, space), strict=True),
        ]
    assert (cached.scale, cached.takes_prompt) == (live.scale, live.takes_prompt)
    for kept, told in pairs:
        assert kept.dtype == told.dtype
        assert torch.equal(kept, told)
        assert laid_out_alike(kept, told)


def test_a_batch_may_be_mixed_anew(tmp_path):
    live = TinyTeacher()
    cached = keep(tmp_path, live, [clips(0), clips(1)])
    mixed = torch.cat([clips(1)[2:], clips(0)[:1], clips(1)[:1]])
    torch.testing.assert_close(cached.restore(mixed), live.restore(mixed))


@pytest.mark.parametrize(("numbers", "tolerance"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_rounded_answers_are_close_and_of_the_teachers_type(numbers, tolerance, tmp_path):
    live, space = TinyTeacher(), TinySpace()
    cached = keep(tmp_path / numbers, live, [clips()], numbers=numbers)
    kept, told = cached.features(clips(), space), live.features(clips(), space)
    assert kept.dtype == torch.float32
    assert not torch.equal(kept, told)
    torch.testing.assert_close(kept, told, atol=tolerance, rtol=tolerance)
    exact = keep(tmp_path / "exact", live, [clips()])
    sizes = [sum(path.stat().st_size for path in one.folder.glob("*.safetensors")) for one in (cached, exact)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize(
    ("teacher", "domains", "views"),
    [
        (TinyTeacher(), BOTH, ["pixel", "lifted"]),
        (TinyTeacher(), ("feature",), ["lifted"]),
        (TinyTeacher(), ("pixel",), ["pixel"]),
        (Bicubic(), BOTH, ["pixel"]),
        (Bicubic(), ("feature",), ["embedded"]),
    ],
)
def test_no_more_is_kept_than_is_needed(teacher, domains, views):
    assert list(run_teacher(teacher, clips(), domains)) == views


def test_features_that_are_more_than_a_view_are_refused():
    with pytest.raises(ValueError, match=r"Doubling\.features does more than return space\.lift"):
        run_teacher(Doubling(), clips(), ("feature",))
    assert list(run_teacher(Doubling(), clips(), ("pixel",))) == ["pixel"]


def test_what_is_not_kept_is_asked_for_in_vain(tmp_path):
    cached = keep(tmp_path, TinyTeacher(), [clips()], domains=("feature",))
    with pytest.raises(ValueError, match=r"keeps features only, .* asks for pixels .*--domains pixel,feature"):
        cached.restore(clips())


def test_an_unknown_clip_says_what_the_cache_knows(tmp_path):
    cached = keep(tmp_path, TinyTeacher(), [clips(0), clips(1)])
    known, unknown = clips(0), clips(2)
    with pytest.raises(UnknownClipError, match="clip 1 of the batch: ") as error:
        cached.restore(torch.stack([known[0], unknown[0]]))
    line = str(error.value.with_name(["a photo", "another photo"]))
    assert line.startswith(f"another photo: {tmp_path} has no answer to this clip (16x16, ")
    assert "2 batches of DegradedClips (seed: 3, size: 64)" in line
    assert "more epochs" in line


def test_prompts_tell_answers_apart(tmp_path):
    generator = torch.Generator().manual_seed(0)
    one, other, third = (torch.randn(3, 7, 16, generator=generator) for _ in range(3))
    live = Told()
    cached = keep(tmp_path, live, [clips(), clips()], prompts=[one, other])
    for prompt in (one, other, other + 1e-3 * one):
        torch.testing.assert_close(
            cached.restore(clips(), prompt=prompt), live.restore(clips(), prompt=prompt), atol=1e-3, rtol=0
        )
    with pytest.raises(UnknownClipError, match="with another prompt only"):
        cached.restore(clips(), prompt=third)
    with pytest.raises(ValueError, match="was made with a prompt, but this recipe has none"):
        cached.restore(clips())


def test_a_prompt_that_the_teacher_was_not_told_is_refused(tmp_path):
    cached = keep(tmp_path, OSEDiff("demo"), [clips()], domains=("feature",))
    with pytest.raises(ValueError, match="was made without a prompt, but this recipe has one"):
        cached.features(clips(), Stem(4), prompt=torch.zeros(3, 2, 8))


def test_one_batch_may_hold_a_clip_with_two_prompts(tmp_path):
    lr = clips(count=1).repeat(3, 1, 1, 1, 1)
    prompts = torch.stack([torch.zeros(2, 4), torch.ones(2, 4), torch.zeros(2, 4)])
    pending = ShardWriter()
    pending.add(keys_of(lr), {"pixel": torch.arange(3.0).view(3, 1)}, prompt_fingerprint(prompts), "exact")
    assert [int(value) for name, value in pending.tensors.items() if name.startswith("pixel")] == [0, 1]


def test_gists_survive_rounding_and_differ_between_texts():
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randn(1, 77, 1024, generator=generator)
    changed = prompt.clone()
    changed[:, 60:] = torch.randn(1, 17, 1024, generator=generator)
    (own,), (rounded,), (other,) = (
        prompt_fingerprint(prompt),
        prompt_fingerprint(prompt.bfloat16()),
        prompt_fingerprint(changed),
    )
    assert same_prompt(own, rounded)
    assert not same_prompt(own, other)


def test_keys_are_of_the_pixels_and_the_size():
    lr = clips(count=2)
    keys = keys_of(lr)
    assert (
        keys == keys_of(lr.bfloat16()) == keys_of(lr + 1e-3) == keys_of(lr.transpose(0, 1).contiguous().transpose(0, 1))
    )
    assert keys[0] != keys[1]
    changed = lr.clone()
    changed[0, 0, 1, 5, 7] += 2 / 255
    assert keys_of(changed)[0] != keys[0]
    assert keys_of(lr.reshape(2, 1, 3, 8, 32)) != keys
    assert on_grid(lr)
    assert on_grid(lr.bfloat16())
    assert not on_grid(lr + 1 / 255)


@pytest.mark.parametrize("made_by", ["TinyTeacher", None, "weights"])
def test_the_maker_may_be_named(made_by, tmp_path):
    cached = keep(tmp_path, TinyTeacher(), [clips()])
    CachedTeacher(str(tmp_path), cached.index["weights"][:8] if made_by == "weights" else made_by)


def test_another_maker_is_refused_by_name(tmp_path):
    cached = keep(tmp_path, TinyTeacher(), [clips()])
    with pytest.raises(
        ValueError, match=rf"answers of TinyTeacher \(weights {cached.index['weights'][:12]}\), not of OSEDiff"
    ):
        CachedTeacher(str(tmp_path), "OSEDiff")


def test_a_cache_made_otherwise_is_refused_by_the_entry_that_differs(tmp_path):
    index = index_of(TinyTeacher())
    held = write_index(tmp_path, index)
    assert write_index(tmp_path, {**index, "batches": 1}) == held
    assert write_index(tmp_path, {**index, "batches": 5})["batches"] == 5
    other = {
        **index,
        "data": {"class_path": "adc.data.DegradedClips", "init_args": {"seed": 4, "size": 64, "augment": None}},
    }
    with pytest.raises(ValueError, match=r"made with data\.init_args\.seed: 3; here data\.init_args\.seed is 4"):
        write_index(tmp_path, other)
    with pytest.raises(ValueError, match="made with weights: "):
        write_index(tmp_path, {**index, "weights": "0" * 64})
    with pytest.raises(ValueError, match=r'teacher\.class_path: "somewhere.TinyTeacher"; here'):
        write_index(tmp_path, {**index, "teacher": {"class_path": "somewhere.Other", "init_args": {}}})


def test_a_fingerprint_is_of_the_weights():
    one, other = TinyTeacher(), TinyTeacher()
    assert fingerprint(one) == fingerprint(other)
    with torch.no_grad():
        other.network[0].bias[0] += 1e-6
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("keep_bytes", [0, 5, 100, -1])
def test_a_truncated_shard_is_named(keep_bytes, tmp_path):
    keep(tmp_path, TinyTeacher(), [clips(0), clips(1)])
    path = tmp_path / "000-of-001-000001.safetensors"
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(ValueError, match=rf"{path}: truncated or damaged .*`adc cache`, run again, makes it anew"):
        CachedTeacher(str(tmp_path))


def test_a_flipped_bit_is_found_when_its_answer_is_read(tmp_path):
    keep(tmp_path, TinyTeacher(), [clips(0), clips(1)])
    path = tmp_path / "000-of-001-000001.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    cached = CachedTeacher(str(tmp_path))
    cached.restore(clips(0))
    with pytest.raises(
        ValueError, match=rf"{path}: .* is damaged \(its checksum differs\); delete it, and `adc cache`"
    ):
        cached.restore_with_features(clips(1), TinySpace())


def test_a_missing_shard_and_a_foreign_one_are_named(tmp_path):
    keep(tmp_path / "one", TinyTeacher(), [clips(0), clips(1)])
    keep(tmp_path / "other", TinyTeacher(width=8), [clips(0), clips(1)])
    path = tmp_path / "one" / "000-of-001-000001.safetensors"
    path.write_bytes((tmp_path / "other" / path.name).read_bytes())
    with pytest.raises(ValueError, match=f"{path}: belongs to another cache"):
        CachedTeacher(str(path.parent))
    path.unlink()
    with pytest.raises(ValueError, match=f"{path}: no such shard yet"):
        CachedTeacher(str(path.parent))


@pytest.mark.parametrize(
    ("text", "says"), [("", "cannot be read"), ('{"format": 7}', "format 7"), ("[]", "cannot be read")]
)
def test_a_damaged_index_is_named(text, says, tmp_path):
    (tmp_path / "cache.json").write_text(text)
    with pytest.raises(ValueError, match=rf"cache\.json: {says}"):
        CachedTeacher(str(tmp_path))


def test_no_cache_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cache\.json: no such file; `adc cache` makes it"):
        CachedTeacher(str(tmp_path))


def test_nothing_half_written_stays(tmp_path):
    index = write_index(tmp_path, index_of(TinyTeacher()))
    pending = ShardWriter()
    pending.add(["a"], {"pixel": torch.zeros(1, 1)}, None, "exact")
    shard = shards_of(index, 0)[0]
    (tmp_path / shard.name).mkdir()
    with pytest.raises(OSError, match=f"{tmp_path / shard.name}: cannot be written"):
        pending.write(tmp_path, shard, index)
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.name, "cache.json"]


def test_shards_cover_all_batches_once():
    for rank in range(2):
        shards = shards_of({"world": 2, "batches": 7, "span": 3}, rank)
        assert [(shard.first, shard.batches) for shard in shards] == [(0, 3), (3, 3), (6, 1)]
        assert all(shard.name.startswith(f"00{rank}-of-002-") for shard in shards)
