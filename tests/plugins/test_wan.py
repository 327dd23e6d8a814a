"""Wan's transformer as a denoiser, its names and its texts."""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from adc_sd21.folder import save_tensors
from adc_sd21.text import KEY, name_of
from adc_tiny import TinyAutoencoder
from adc_wan import OneStepVideo, WanAutoencoder, WanConditioner, WanDenoiser, denoiser
from adc_wan.convert import transformer_to_diffusers, transformer_to_original
from adc_wan.folder import convert

from adc.inference.latent import LatentDiffusion
from adc.pruning import load_student, save_student
from adc.stages import FlowMatching
from adc.testing import check_conditioner, check_denoiser, check_stage
from adc.training import Role

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "ffn_dim": 32,
    "num_layers": 4,
    "text_dim": 16,
    "rope_max_seq_len": 32,
}
TINY_VAE = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import check_golden

        yield check_golden
    finally:
        sys.path.remove(str(ROOT / "tools"))


def tiny(**options):
    return WanDenoiser(config=TINY, **options).eval()


def inputs(clips=2, frames=3, lr=True):
    generator = torch.Generator().manual_seed(0)
    z_t, lr_latents = (torch.randn(clips, frames, 16, 4, 6, generator=generator) for _ in range(2))
    text = torch.randn(clips, 8, 16, generator=generator)
    return z_t, torch.rand(clips, generator=generator), {"text": text, **({"lr": lr_latents} if lr else {})}


def deviations(tool, file):
    found = tool.check(GOLDEN / f"{file}.safetensors", lambda line: None)["deviations"]
    return {name: entry["deviation"] for name, entry in found.items()}


@pytest.mark.parametrize("file", ["wan_tiny", "wan_tiny_lr"])
def test_published_outputs_by_both_layouts(tool, file):
    found = deviations(tool, file)
    names = {"velocity", "hidden_1", "hidden_2", "hidden_last"}
    assert set(found) == names | {f"{name} (diffusers)" for name in names}
    assert max(found.values()) < 1e-4


class Rounded:
    """1000 t as an integer."""

    def __mul__(self, t):
        return (1000 * t).round()


class Halved:
    """1000 t in bfloat16."""

    def __mul__(self, t):
        return (1000 * t).bfloat16().float()


class Reversed:
    """1000 (1 - t)."""

    def __mul__(self, t):
        return 1000 * (1 - t)


@pytest.mark.parametrize(("steps", "least"), [(Rounded, 0.05), (Halved, 0.1), (Reversed, 1.0)])
def test_another_time_is_found(tool, monkeypatch, steps, least):
    monkeypatch.setattr(denoiser, "STEPS", steps())
    assert deviations(tool, "wan_tiny")["velocity"] > least


def test_a_text_without_its_padding_is_found(tool, monkeypatch):
    """The first clip of the golden file has five words of eight rows."""
    forward = WanDenoiser.forward

    def cut(self, z_t, t, condition, *rest):
        return forward(self, z_t, t, {**condition, "text": condition["text"][:, :5]}, *rest)

    monkeypatch.setattr(WanDenoiser, "forward", cut)
    assert deviations(tool, "wan_tiny")["velocity"] > 0.1


def test_lr_before_the_noisy_latents_is_found(tool, monkeypatch):
    forward = WanDenoiser.forward

    def swapped(self, z_t, t, condition, *rest):
        return forward(self, condition["lr"], t, {**condition, "lr": z_t}, *rest)

    monkeypatch.setattr(WanDenoiser, "forward", swapped)
    assert deviations(tool, "wan_tiny_lr")["velocity"] > 0.1


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes():
    with torch.device("meta"):
        assert count(WanDenoiser(lr_channels=False)) == 1_418_996_800
        assert count(WanDenoiser()) == 1_419_095_104
        assert count(WanAutoencoder()) == 126_892_531
    assert count(tiny()) == 42_840


def test_the_first_forward_of_a_widened_network_is_the_old_one(tmp_path):
    plain = tiny(lr_channels=False)
    plain.save_pretrained(str(tmp_path))
    widened = WanDenoiser(str(tmp_path)).eval()
    z_t, t, condition = inputs()
    with torch.no_grad():
        assert torch.equal(widened(z_t, t, condition)[0], plain(z_t, t, condition)[0])
        widened.network.patch_embedding.weight[:, 16:] += 0.1
        assert not torch.equal(widened(z_t, t, condition)[0], plain(z_t, t, condition)[0])


def test_contracts():
    conditioner = WanConditioner(WanAutoencoder(config=TINY_VAE), length=6, width=16)
    check_denoiser(tiny(), conditioner, taps=(0, 3), size=16)
    check_conditioner(WanConditioner(TinyAutoencoder(), text="sharp", negative="soft", length=6, width=16))


@pytest.mark.slow
def test_processes_and_sharded_networks_agree():
    """Every parameter is used inside the forward of its module, where a sharded one is whole."""
    generator = torch.Generator().manual_seed(0)
    lr, hr = (torch.rand(4, 1, 3, side, side, generator=generator) * 2 - 1 for side in (8, 32))
    batch = {"lr": lr, "hr": hr, "name": ["a", "b", "c", "d"]}
    conditioner = WanConditioner(WanAutoencoder(config=TINY_VAE), text="sharp", length=6, width=16)
    role = Role(partial(torch.optim.Adam, lr=1e-3, eps=1e-4))
    stage = FlowMatching(LatentDiffusion(tiny(), conditioner, steps=2), {"student": role}, gradient_checkpointing=True)
    check_stage(stage, batch, batches=2, processes=2)


def test_checkpointing_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        network, runs = tiny(), []
        network.network.blocks[1].ffn.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        network.checkpoint_activations = recompute
        z_t, t, condition = inputs()
        velocity, (feature,) = network(z_t, t, condition, taps=(1,))
        (velocity.square().mean() + feature.square().mean()).backward()
        assert len(runs) == 1 + recompute
        gradients.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def saved_bytes(taps):
    """What a forward keeps for the backward pass, each storage once, weights apart; and its taps."""
    network = tiny()
    network.checkpoint_activations = True
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        velocity, features = network(*inputs(), taps=taps)
    places = {feature.untyped_storage().data_ptr() for feature in features}
    return sum(size for size, _ in kept.values()), places <= kept.keys(), velocity


def test_checkpointing_keeps_taps_once():
    """The output of a block is the input that the next one is computed from again."""
    without, _, _first = saved_bytes(())
    tapped, shared, _second = saved_bytes((0, 1, 2))
    assert shared
    assert tapped == without


def test_an_early_end_runs_no_later_block():
    network, ran = tiny(), []
    for number, block in enumerate(network.network.blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    network(*inputs(), taps=(0, 2), stop_early=True)
    assert ran == [0, 1, 2]


def test_folders_of_diffusers(tmp_path):
    """Diffusers reads what is written, and computes the same; its folders of several files are read."""
    from diffusers import WanTransformer3DModel

    ours = tiny()
    ours.save_pretrained(str(tmp_path / "ours"))
    theirs = WanTransformer3DModel.from_pretrained(str(tmp_path / "ours" / "transformer")).eval()
    z_t, t, condition = inputs()
    latents = torch.cat([z_t, condition["lr"]], dim=2).transpose(1, 2)
    with torch.no_grad():
        expected = theirs(latents, 1000 * t, condition["text"], return_dict=False)[0].transpose(1, 2)
        assert torch.equal(ours(z_t, t, condition)[0], expected)
        theirs.save_pretrained(str(tmp_path / "several" / "transformer"), max_shard_size="60KB")
        assert len(list((tmp_path / "several" / "transformer").glob("*.safetensors"))) > 1
        assert torch.equal(WanDenoiser(str(tmp_path / "several")).eval()(z_t, t, condition)[0], expected)
    next((tmp_path / "several" / "transformer").glob("*-00002-of-*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match=r"-00002-of-\d+.safetensors: no such file"):
        WanDenoiser(str(tmp_path / "several"))


def test_names_go_both_ways():
    state = tiny().network.state_dict()
    published = transformer_to_original(state)
    outside = {"time_embedding.0", "time_embedding.2", "text_embedding.0", "time_projection.1", "head.head"}
    assert {f"{layer}.weight" for layer in outside} <= published.keys()
    assert published["blocks.1.norm3.weight"] is state["blocks.1.norm2.weight"]
    assert published["blocks.0.self_attn.q.weight"] is state["blocks.0.attn1.to_q.weight"]
    assert published["blocks.0.cross_attn.norm_k.weight"] is state["blocks.0.attn2.norm_k.weight"]
    assert published["head.modulation"] is state["scale_shift_table"]
    back = transformer_to_diffusers(published)
    assert back.keys() == state.keys()
    assert all(back[name] is tensor for name, tensor in state.items())


def test_folders_there_and_back(tmp_path):
    ours, published, again = (tmp_path / name for name in ("ours", "published", "again"))
    network, autoencoder = tiny(), WanAutoencoder(config=TINY_VAE)
    network.save_pretrained(str(ours))
    convert(str(ours), str(published), back=True)
    assert {path.name for path in published.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    convert(str(published), str(again))
    found = WanDenoiser(str(again))
    assert found.config == {**network.config, "rope_max_seq_len": 1024}  # which the published file does not state
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), network.parameters(), strict=True))
    autoencoder.save_pretrained(str(ours))
    convert(str(ours), str(published), back=True)
    assert (published / "Wan2.1_VAE.pth").is_file()
    with pytest.raises(FileNotFoundError, match="holds neither of transformer/ and vae/"):
        convert(str(again / "transformer"), str(tmp_path / "x"), back=True)


def test_wrong_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"source: .*: no transformer/config.json there"):
        WanDenoiser(str(tmp_path))
    with pytest.raises(ValueError, match="config: unknown entry 'layers'"):
        WanDenoiser(config={"layers": 3})
    with pytest.raises(ValueError, match="image_dim is of an image-to-video model"):
        WanDenoiser(config={**TINY, "image_dim": 8})
    tiny().save_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="holds its configuration; leave one of the two out"):
        WanDenoiser(str(tmp_path), TINY)


def test_rows_of_texts(tmp_path):
    for text, rows in (("", torch.ones(1, 16)), ("sharp", torch.full((3, 16), 2.0)), ("soft", torch.ones(9, 16))):
        save_tensors({KEY: rows}, tmp_path / name_of(text), torch.float32)
    conditioner = WanConditioner(TinyAutoencoder(), str(tmp_path), text="sharp", length=8, width=16)
    batch = {"lr": torch.zeros(2, 1, 3, 8, 8), "name": ["a", "b"]}
    own = conditioner.condition(batch)["text"]
    assert own.shape == (2, 8, 16)
    assert own.sum(dim=2).tolist() == [[32.0] * 3 + [0.0] * 5] * 2
    mixed = conditioner.condition({**batch, "text": ["", "sharp"]})["text"].sum(dim=2)
    assert mixed.tolist() == [[16.0] + [0.0] * 7, [32.0] * 3 + [0.0] * 5]
    assert torch.equal(conditioner.unconditional({"text": own})["text"][0], mixed[0, :, None].expand(8, 16) / 16)
    with pytest.raises(FileNotFoundError, match=r"the rows of 'blurry'; tools/embed_texts.py makes it"):
        conditioner.condition({**batch, "text": ["blurry", ""]})
    with pytest.raises(ValueError, match="length: 'soft' has 9 rows, more than 8"):
        WanConditioner(TinyAutoencoder(), str(tmp_path), text="soft", length=8)


def test_rows_in_a_student_folder(tmp_path):
    """Its own two texts, of the width that they have; another one is refused, never drawn."""
    (tmp_path / "texts").mkdir()
    for text, value in (("", 1.0), ("sharp", 2.0), ("soft", 3.0)):
        save_tensors({KEY: torch.full((2, 16), value)}, tmp_path / "texts" / name_of(text), torch.float32)
    autoencoder = WanAutoencoder(config=TINY_VAE)
    conditioner = WanConditioner(autoencoder, str(tmp_path / "texts"), text="sharp", length=8)
    save_student(OneStepVideo(tiny(), conditioner), tmp_path / "student")
    (tmp_path / "texts").rename(tmp_path / "elsewhere")
    found = load_student(str(tmp_path / "student")).conditioner
    assert found.width == 16
    for text in ("sharp", ""):
        assert torch.equal(found.rows_of(text), conditioner.rows_of(text))
    with pytest.raises(ValueError, match="text: 'soft' has no rows in this student folder, which holds"):
        found.rows_of("soft")


def test_rows_that_are_drawn_differ_by_text_and_stay():
    one, other = (WanConditioner(TinyAutoencoder(), text="sharp", negative="soft", length=6, width=4) for _ in range(2))
    assert torch.equal(one.rows_of("sharp"), other.rows_of("sharp"))
    assert not torch.equal(one.rows_of("sharp"), one.rows_of("soft"))
    assert one.rows_of("sharp")[4:].abs().sum() == 0
    assert one.rows_of("")[1:].abs().sum() == 0 < one.rows_of("")[0].abs().sum()
