"""DOVE at small widths: padding, windows, folders, refusals."""

import json

import pytest
import torch
from adc_sd21.text import name_of
from adc_video import DOVE
from adc_video.convert import dove
from adc_video.dove import pad_frames, pad_with_black
from adc_video.windows import blended, cover
from safetensors.torch import load_file, save_file
from twins import assert_close, assert_same_weights

from adc.interfaces import Teacher
from adc.testing import check_teacher

TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "time_embed_dim": 8,
    "text_embed_dim": 6,
    "num_layers": 1,
    "max_text_seq_length": 3,
}
VAE = {"block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 2}
CONFIGS = {"transformer": TRANSFORMER, "vae": VAE}


def small(**options):
    torch.manual_seed(0)
    return DOVE(**{**CONFIGS, "precision": "float32", **options}).eval()


def clip(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def teacher():
    return small()


def test_contract(teacher):
    check_teacher(teacher)
    assert DOVE.features is Teacher.features


def test_frames_are_repeated_up_to_the_rule():
    assert [pad_frames(clip(1, n, 1, 1, 1)).shape[1] for n in (1, 2, 8, 9, 10, 17, 18)] == [1, 9, 9, 9, 17, 17, 25]
    padded = pad_frames(clip(2, 3, 3, 2, 2))
    assert torch.equal(padded[:, 2:], padded[:, 2:3].expand(-1, 7, -1, -1, -1))


@pytest.mark.parametrize("frames", [1, 2, 8, 10])
@torch.no_grad()
def test_any_number_of_frames_comes_back(teacher, frames):
    lr = clip(1, frames, 3, 16, 16)
    restored = teacher(lr)
    assert restored.shape == (1, frames, 3, 64, 64)
    repeated = torch.cat([lr, lr[:, -1:].repeat(1, -(frames - 1) % 8, 1, 1, 1)], dim=1)
    assert torch.equal(teacher(repeated)[:, :frames], restored)


@torch.no_grad()
def test_sides_are_padded_with_black(teacher):
    assert pad_with_black(torch.zeros(1, 1, 1, 3, 5), 4)[0, 0, 0].tolist() == [[0.0] * 5 + [-1.0] * 3] * 3 + [
        [-1.0] * 8
    ]
    lr = clip(1, 1, 3, 20, 17)
    black = torch.full((1, 1, 3, 32, 32), -1.0)
    black[..., :20, :17] = lr
    assert torch.equal(teacher(lr), teacher(black)[..., :80, :68])
    assert teacher(lr[..., :16, :16]).shape == (1, 1, 3, 64, 64)


@torch.no_grad()
def test_less_padding_and_other_scales_can_be_asked_for():
    lr = clip(1, 1, 3, 20, 24)
    assert not torch.equal(small(multiple=4)(lr), small()(lr))
    assert small(scale=1)(lr).shape == lr.shape
    assert small(scale=2, multiple=8)(lr).shape == (1, 1, 3, 40, 48)
    with pytest.raises(ValueError, match=r"multiple: 4 enlarged by 2 is no multiple of .* 16; .* of 8"):
        small(scale=2, multiple=4)


@torch.no_grad()
def test_windows_that_take_all_change_nothing(teacher):
    lr = clip(1, 2, 3, 20, 16)
    assert torch.equal(small(chunk=9, chunk_overlap=1, tile=32, tile_overlap=16)(lr), teacher(lr))


@pytest.mark.parametrize(("window", "overlap", "step"), [(9, 1, 8), (17, 9, 8), (33, 9, 8), (32, 16, 16), (48, 0, 16)])
def test_windows_cover_and_their_shares_add_up(window, overlap, step):
    for more in range(12):
        length = window + step * more
        axis = cover(length, window, overlap, step)
        assert axis.starts[0] == 0 and axis.starts[-1] + window == length
        assert all(start % step == 0 for start in axis.starts)
        gaps = [after - before for before, after in zip(axis.starts, axis.starts[1:], strict=False)]
        assert all(0 < gap <= window - overlap for gap in gaps)
        total = torch.zeros(2 * length)
        for start, share in zip(axis.starts, axis.blend_weights(2), strict=True):
            assert (share > 0).all()
            total[2 * start : 2 * (start + window)] += share
        torch.testing.assert_close(total, torch.ones(2 * length))


def test_a_function_of_single_pixels_does_not_see_the_windows():
    def upsample_bicubic(part):
        assert part.shape[1] == 17 and part.shape[-2:] == (16, 32)
        return (part * part + 1).repeat_interleave(2, -1).repeat_interleave(2, -2)

    lr = clip(2, 33, 3, 40, 48)
    axes = (cover(33, 17, 9, 8), cover(40, 16, 6, 4), cover(48, 32, 8, 4))
    assert [len(axis.starts) for axis in axes] == [3, 4, 2]
    whole = (lr * lr + 1).repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(blended(upsample_bicubic, lr, axes, 2), whole)


@torch.no_grad()
def test_a_result_that_is_flat_stays_flat_across_windows():
    made = small(chunk=9, chunk_overlap=1, tile=16, tile_overlap=8, multiple=4)
    made.vae.decoder.conv_out.conv.weight.zero_()
    made.vae.decoder.conv_out.conv.bias.fill_(0.3)
    torch.testing.assert_close(made(clip(1, 18, 3, 24, 20)), torch.full((1, 18, 3, 96, 80), 0.3))


@torch.no_grad()
def test_windows_fade_into_each_other():
    """Two chunks and two tiles, put together by hand."""
    made, whole = (small(multiple=4, **options) for options in ({}, {}))
    made.chunk, made.chunk_overlap, made.tile, made.tile_overlap = 9, 1, 16, 8
    for one in (made, whole):
        one.vae.decoder.conv_out.conv.weight.mul_(0.05)
    lr = clip(1, 17, 3, 16, 24)
    rows = []
    for first in (0, 8):
        left, right = (whole(lr[:, first : first + 9, :, :, at : at + 16]) for at in (0, 8))
        rise = ((torch.arange(32) + 0.5) / 32).expand(64, 32)
        mixed = left[..., 32:] * (1 - rise) + right[..., :32] * rise
        rows.append(torch.cat([left[..., :32], mixed, right[..., 32:]], dim=-1))
    expected = torch.cat([rows[0][:, :8], (rows[0][:, 8:] + rows[1][:, :1]) / 2, rows[1][:, 1:]], dim=1)
    assert expected.abs().max() < 1
    assert expected.std() > 1e-3
    torch.testing.assert_close(made(lr), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_drawn_latent_is_repeatable_and_leaves_the_random_state(teacher):
    lr = clip(2, 1, 3, 16, 16)
    before = torch.get_rng_state()
    drawn = small(sample_seed=1)
    first = drawn(lr)
    torch.set_rng_state(before)
    assert torch.equal(drawn(lr), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, teacher(lr))
    assert not torch.equal(small(sample_seed=2)(lr), first)
    torch.testing.assert_close(drawn(lr[1:]), first[1:])


@torch.no_grad()
def test_precision_is_the_teachers_own(teacher):
    lr = clip(1, 1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(teacher(lr), teacher.restore(lr))
        inside = teacher(lr)
    assert torch.equal(inside, teacher(lr))
    half = small(precision="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert half(lr).dtype == torch.float32
    assert not torch.equal(half(lr), teacher(lr))
    assert half(lr.bfloat16()).dtype == torch.bfloat16


@torch.no_grad()
def test_coefficients_are_rounded_as_published_or_not():
    made, exact = (small(precision="bfloat16", published_rounding=rounding) for rounding in (True, False))
    z = torch.ones(1, 2, 16, 2, 2, dtype=torch.bfloat16)
    for one, coefficient in ((made, 0.625), (exact, 0.627331)):
        one.transformer.proj_out.weight.zero_()
        one.transformer.proj_out.bias.zero_()
        torch.testing.assert_close(one._clean(z).float(), torch.full(z.shape, coefficient), atol=1e-6, rtol=0)
        one.transformer.proj_out.bias.fill_(1)
    assert made._clean(z).unique().item() == 0.625 - 0.78125
    assert exact._clean(z).unique().item() == pytest.approx(0.627331 - 0.778753, abs=1e-6)


def test_the_full_size():
    """The published count, 5,787.19 M, is that of the networks (5,786.26 M) and the empty prompt's embedding."""
    with torch.device("meta"):
        full = DOVE()
    count = {part: sum(p.numel() for p in getattr(full, part).parameters()) for part in ("transformer", "vae")}
    assert count == {"transformer": 5_570_676_352, "vae": 215_583_907}
    assert full.prompt.shape == (226, 4096)
    assert sum(count.values()) == 5_786_260_259
    assert round(sum(p.numel() for p in full.parameters()) / 1e6, 2) == 5787.19
    assert full.restore(torch.empty(1, 2, 3, 20, 16, device="meta")).shape == (1, 2, 3, 80, 64)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder as diffusers writes it, the transformer in shards, and the embedding beside it."""
    from diffusers import CogVideoXDDIMScheduler

    home, made = tmp_path_factory.mktemp("published"), small()
    made.transformer.save_pretrained(home / "DOVE" / "transformer", max_shard_size="30KB")
    made.vae.save_pretrained(home / "DOVE" / "vae")
    schedule = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    CogVideoXDDIMScheduler(**schedule, snr_shift_scale=1.0).save_pretrained(home / "DOVE" / "scheduler")
    save_file({"prompt_embedding": clip(3, 6)}, home / name_of(""))
    assert len(list((home / "DOVE" / "transformer").glob("*.safetensors"))) > 2
    return home


@torch.no_grad()
def test_folders_come_back(published, teacher, tmp_path):
    lr = clip(1, 2, 3, 18, 16)
    read = DOVE(str(published / "DOVE"), str(published / name_of("")), precision="float32").eval()
    assert not torch.equal(read(lr), teacher(lr))
    prompt = read.prompt.data
    read.prompt.data = torch.zeros_like(prompt)
    assert_same_weights(read, teacher)
    assert_close(read(lr), teacher(lr))
    read.prompt.data = prompt
    dove(str(published / "DOVE"), str(published / name_of("")), str(tmp_path / "out"), "float32")
    again = DOVE(str(tmp_path / "out"), precision="float32").eval()
    assert_same_weights(again, read)
    assert_close(again(lr), read(lr))
    dove(str(published / "DOVE"), str(published / name_of("")), str(tmp_path / "half"))
    stored = load_file(tmp_path / "half" / "vae" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}


@pytest.fixture
def copied(published, tmp_path):
    """A copy that may be spoilt."""
    dove(str(published / "DOVE"), str(published / name_of("")), str(tmp_path / "copy"), "float32")
    return tmp_path / "copy"


def edit(path, **changes):
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in {**config, **changes}.items() if value != "absent"}))


@pytest.mark.parametrize(
    "missing", ["transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json", name_of("")]
)
def test_a_missing_file_is_named(copied, missing):
    (copied / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing}: no such file"):
        DOVE(str(copied))


def test_missing_weights_are_named(copied):
    (copied / "vae" / "diffusion_pytorch_model.safetensors").rename(copied / "vae" / "model.bin")
    with pytest.raises(FileNotFoundError, match=r"vae/diffusion_pytorch_model.safetensors: no such file, nor .*index"):
        DOVE(str(copied))
    with pytest.raises(FileNotFoundError, match="folder: no/such: no such folder"):
        DOVE("no/such")


def test_weights_that_do_not_fit_are_named(copied):
    path = copied / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["proj_out.wait"] = weights.pop("proj_out.weight")
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"proj_out\.weight is missing, proj_out\.wait is unknown \(2 such"):
        DOVE(str(copied))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
        DOVE(str(copied))


def test_shards_hold_what_the_index_says(published, tmp_path):
    import shutil

    shutil.copytree(published / "DOVE", tmp_path / "DOVE")
    index = tmp_path / "DOVE" / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    shards = json.loads(index.read_text())
    name, file = next(iter(shards["weight_map"].items()))
    arguments = (str(tmp_path / "DOVE"), str(published / name_of("")))
    index.write_text(json.dumps({"weight_map": {**shards["weight_map"], "more": file}}))
    with pytest.raises(ValueError, match=rf"{file}: more is missing \(1 such"):
        DOVE(*arguments)
    index.write_text(json.dumps({"weight_map": {k: v for k, v in shards["weight_map"].items() if k != name}}))
    with pytest.raises(ValueError, match=rf"{name} is not in diffusion_pytorch_model.safetensors.index.json"):
        DOVE(*arguments)
    index.write_text(json.dumps({"weight_map": {"more": "../vae/diffusion_pytorch_model.safetensors"}}))
    with pytest.raises(ValueError, match="a shard lies beside its index"):
        DOVE(*arguments)
    index.write_text(json.dumps(shards))
    (index.parent / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"{file}: no such file"):
        DOVE(*arguments)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("transformer/config.json", {"num_layers": "absent"}, "has no num_layers"),
        ("transformer/config.json", {"layers": 3}, "unknown option 'layers'"),
        ("transformer/config.json", {"ofs_embed_dim": 512}, "ofs_embed_dim is 512; only None is computed here"),
        ("transformer/config.json", {"use_rotary_positional_embeddings": False}, "only True is computed here"),
        ("vae/config.json", {"scaling_factor": "absent"}, "has no scaling_factor"),
        ("scheduler/scheduler_config.json", {"prediction_type": "epsilon"}, "only 'v_prediction' is computed here"),
    ],
)
def test_a_configuration_of_something_else_is_refused(copied, part, changes, message):
    edit(copied / part, **changes)
    with pytest.raises(ValueError, match=rf"{part}: .*{message}"):
        DOVE(str(copied))


def test_a_prompt_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "prompt.safetensors"
    for tensors, message in (
        ({"prompt_embedding": torch.zeros(1, 3, 6)}, r"prompt_embedding is \[1, 3, 6\], not \[3, 6\]"),
        ({"prompt_embedding": torch.full((3, 6), float("nan"))}, "holds values that are no numbers"),
        ({"embedding": torch.zeros(3, 6)}, "holds no prompt_embedding but embedding"),
    ):
        save_file(tensors, path)
        with pytest.raises(ValueError, match=message):
            small(prompt=str(path))
    with pytest.raises(FileNotFoundError, match=r"prompt: .*gone\.safetensors: no such file"):
        small(prompt=str(tmp_path / "gone.safetensors"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 32}, "chunk: 32 frames; one more than a multiple of 8, for one 33"),
        ({"chunk": 9, "chunk_overlap": 2}, "chunk_overlap: 2; 0 to 1 for a chunk of 9"),
        ({"tile": 40}, "tile: 40 pixels; a multiple of 16, for one 32"),
        ({"tile": 32}, "tile_overlap: 32; 0 to 16 for a tile of 32"),
        ({"scale": 0}, "at least 1"),
        ({"timestep": 1000}, "timestep: 1000; the schedule has 0 to 999"),
        ({"vae": {"widths": [1]}}, "vae: unknown option 'widths'"),
        ({"vae": {"temporal_compression_ratio": 8}}, "vae: temporal_compression_ratio is 8"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_a_folder_has_its_configuration(copied):
    with pytest.raises(ValueError, match="scheduler: a teacher read from a folder has its configuration there"):
        DOVE(str(copied), scheduler={"snr_shift_scale": 3.0})
