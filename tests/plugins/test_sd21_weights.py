"""Published layouts of weights, made small and converted: what comes out is the network that went in."""

import argparse
import re

import pytest
import torch
from adc_sd21 import AdcSRStudent, OSEDiff, PiSASR, convert, networks, published
from adc_sd21.autoencoder import KLAutoencoder
from adc_sd21.folder import read_weights, save
from adc_sd21.lora import delta, factors, merge
from safetensors.torch import save_file
from torch import nn
from twins import assert_close, assert_same_weights

from adc.pruning import load_student, save_student
from adc.weights import InertObject, read_checkpoint

VAE = {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [16, 32], "layers_per_block": 1, "attention_head_dim": 2, "cross_attention_dim": 8}
VAE_CONFIG = networks.complete(networks.SD_VAE, VAE)
UNET_CONFIG = networks.complete(networks.SD_UNET, {**UNET, "norm_num_groups": 4})
LR = torch.linspace(-1, 1, 3 * 16 * 24).view(1, 1, 3, 16, 24).roll(7)
PROMPT = torch.linspace(-1, 1, 2 * 8).view(1, 2, 8)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The published widths, made small."""
    monkeypatch.setattr(networks, "SD_VAE", VAE_CONFIG)
    monkeypatch.setattr(networks, "SD_UNET", UNET_CONFIG)
    monkeypatch.setattr(published, "STUDENT_VAE", {"block_out_channels": [8, 8, 8, 8]})
    monkeypatch.setattr(published, "STUDENT_UNET", {"block_out_channels": [12, 24]})


@pytest.fixture
def sd21(tmp_path):
    """A Stable Diffusion folder as diffusers writes it, with entries that we do not use."""
    torch.manual_seed(0)
    home = tmp_path / "sd21"
    save(
        KLAutoencoder(VAE_CONFIG),
        {**VAE_CONFIG, "_diffusers_version": "0.8", "act_fn": "silu"},
        home / "vae",
        torch.float32,
    )
    save(networks.unet(UNET_CONFIG), {**UNET_CONFIG, "act_fn": "silu"}, home / "unet", torch.float32)
    return home


def seeded(network, seed=1):
    torch.manual_seed(seed)
    return {name: torch.randn_like(tensor) * 0.1 for name, tensor in network.state_dict().items()}


def published_student(student):
    """AdcSR's two files, from a student: the prefix, and the UNet's blocks a second time."""
    weights = student.state_dict()
    net = {
        re.sub("^unet", "module.body.1", name): tensor for name, tensor in weights.items() if name.startswith("unet")
    }
    net |= {
        re.sub("^mid_block", "module.body.2", name): tensor
        for name, tensor in weights.items()
        if name.startswith("mid_block")
    }
    for index, block in published.ALIASES.items():
        start = f"module.body.1.{block}."
        for name in [name for name in net if name.startswith(start)]:
            net[f"module.body.1.body.{index}.{name.removeprefix(start)}"] = net[name]
    return net, {name: tensor for name, tensor in weights.items() if name.startswith("decoder.")}


@pytest.fixture
def student():
    torch.manual_seed(3)
    return AdcSRStudent(vae=published.STUDENT_VAE, unet=published.STUDENT_UNET).eval()


def test_adcsr_comes_through_its_published_files(student, tmp_path):
    net, decoder = published_student(student)
    torch.save(net, tmp_path / "net_params_200.pkl")
    torch.save({"state_dict": decoder | {"encoder.conv_in.bias": torch.zeros(3)}, "epoch": 3}, tmp_path / "half.ckpt")
    convert.adcsr(str(tmp_path / "net_params_200.pkl"), str(tmp_path / "half.ckpt"), str(tmp_path / "out"))
    made = load_student(str(tmp_path / "out")).eval()
    assert torch.equal(made.restore(LR), student.restore(LR))
    assert made.color_matching == "adain"


def test_a_second_copy_that_differs_is_refused(student):
    net, decoder = published_student(student)
    net["module.body.1.body.9.weight"] = net["module.body.1.body.9.weight"] + 1
    with pytest.raises(ValueError, match=r"body\.9\.weight: is not the same as body\.1\.conv_norm_out\.weight"):
        published.adcsr_student(net, decoder)
    with pytest.raises(ValueError, match=r"body\.3\.weight: not part of"):
        published.adcsr_student({"body.3.weight": torch.zeros(1)}, decoder)


def test_what_does_not_fit_is_named(student, tmp_path):
    net, decoder = published_student(student)
    del net["module.body.1.conv_in.bias"]
    torch.save(net, tmp_path / "net.pkl")
    torch.save(decoder, tmp_path / "half.ckpt")
    with pytest.raises(ValueError, match=r"net\.pkl does not fit AdcSRStudent: unet\.conv_in\.bias is missing"):
        convert.adcsr(str(tmp_path / "net.pkl"), str(tmp_path / "half.ckpt"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "half.ckpt")
    with pytest.raises(ValueError, match=r"half\.ckpt: no tensor is named decoder"):
        convert.adcsr(str(tmp_path / "net.pkl"), str(tmp_path / "half.ckpt"), str(tmp_path / "out"))


LATENT_DIFFUSION = (
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
)


def named_by_latent_diffusion(weights, levels=4):
    """An autoencoder's weights under CompVis' names: levels of the decoder count from the largest resolution."""
    renamed = {}
    for name, tensor in weights.items():
        if ".attentions.0.to_" in name and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        for pattern, new in LATENT_DIFFUSION:
            name = re.sub(pattern, new, name)
        name = re.sub(
            r"up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)",
            lambda found: (
                f"up.{levels - 1 - int(found[1])}." + (f"block.{found[3]}" if found[2] == "resnets" else "upsample")
            ),
            name,
        )
        renamed[name] = tensor
    return renamed


def test_decoders_under_either_name_go_into_a_student(student, tmp_path):
    save_student(student, tmp_path / "pruned")
    new = seeded(student.decoder)
    plain = {f"decoder.{name}": tensor for name, tensor in new.items()}
    for number, weights in enumerate((plain, named_by_latent_diffusion(plain))):
        file = tmp_path / f"{number}.ckpt"
        torch.save({"state_dict": {f"first_stage_model.{name}": tensor for name, tensor in weights.items()}}, file)
        found = published.decoder_of(read_checkpoint(file), levels=4)
        assert set(found) == set(new) and all(torch.equal(found[name], new[name]) for name in new)
    convert.decoder(str(tmp_path / "0.ckpt"), str(tmp_path / "pruned"), str(tmp_path / "out"))
    made = load_student(str(tmp_path / "out"))
    assert torch.equal(made.decoder.conv_out.weight, new["conv_out.weight"])
    assert torch.equal(made.mid_block.resnets[0].conv1.weight, new["mid_block.resnets.0.conv1.weight"])


def test_an_autoencoder_with_names_of_old_diffusers(sd21):
    weights = read_weights(sd21 / "vae")
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    renamed = {}
    for name, tensor in weights.items():
        for new, former in old.items():
            name = name.replace(f".attentions.0{new}", f".attentions.0{former}")
        renamed[name] = tensor
    assert any(".proj_attn." in name for name in renamed)
    back = published.current_names(renamed)
    assert set(back) == set(weights) and all(torch.equal(back[name], weights[name]) for name in weights)


def test_stable_diffusion_as_a_folder_and_as_a_single_file(sd21, tmp_path):
    convert.sd21(str(sd21), str(tmp_path / "folder"))
    for part in ("vae", "unet"):
        ours, theirs = read_weights(tmp_path / "folder" / part), read_weights(sd21 / part)
        assert set(ours) == set(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
    vae = named_by_latent_diffusion(read_weights(sd21 / "vae"))
    single = {f"first_stage_model.{name}": tensor for name, tensor in vae.items()}
    save_file(single, tmp_path / "single.safetensors")
    with pytest.raises(ValueError, match=r"single\.safetensors: no tensor is named model\.diffusion_model"):
        convert.sd21(str(tmp_path / "single.safetensors"), str(tmp_path / "out"))
    again = published._from_latent_diffusion(single, 4)
    theirs = read_weights(sd21 / "vae")
    assert set(again) == set(theirs) and all(torch.equal(again[name], theirs[name]) for name in theirs)


def lora(network, layers, adapter, seed=5, rank=2):
    """peft's names of an adapter on some layers."""
    torch.manual_seed(seed)
    found = {}
    for layer in layers:
        weight = network.state_dict()[f"{layer}.weight"]
        found[f"{layer}.lora_A.{adapter}.weight"] = torch.randn(rank, *weight.shape[1:]) * 0.1
        found[f"{layer}.lora_B.{adapter}.weight"] = torch.randn(weight.shape[0], rank, *[1] * (weight.ndim - 2)) * 0.1
    return found


UNET_LAYERS = ("down_blocks.0.resnets.0.conv1", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")


def test_merging_is_what_peft_computes():
    from peft import LoraConfig

    torch.manual_seed(0)
    base = networks.unet(UNET_CONFIG).eval()
    targets = "|".join(layer.replace(".", r"\.") for layer in UNET_LAYERS)
    reference = networks.unet(UNET_CONFIG).eval()
    reference.load_state_dict(base.state_dict())
    reference.add_adapter(LoraConfig(r=2, lora_alpha=8, init_lora_weights=False, target_modules=targets))
    held = {name: tensor for name, tensor in reference.state_dict().items() if ".lora_" in name}
    assert set(factors(held)) == set(UNET_LAYERS)
    merge(base, held)
    z, prompt = torch.randn(1, 4, 8, 8), torch.randn(1, 2, 8)
    torch.testing.assert_close(base(z, 5, prompt).sample, reference(z, 5, prompt).sample, atol=1e-5, rtol=1e-5)


def test_an_adapter_of_another_network_is_refused():
    network = nn.ModuleDict({"a": nn.Linear(4, 4)})
    pair = {"b.lora_A.weight": torch.zeros(2, 4), "b.lora_B.weight": torch.zeros(4, 2)}
    with pytest.raises(ValueError, match=r"b\.weight: ModuleDict has no such layer"):
        merge(network, pair)
    with pytest.raises(ValueError, match="its adapter has no lora_B"):
        merge(network, {"a.lora_A.weight": torch.zeros(2, 4)})
    with pytest.raises(ValueError, match=r"is \[4, 5\], but ModuleDict has \[4, 4\]"):
        merge(network, {"a.lora_A.weight": torch.zeros(2, 5), "a.lora_B.weight": torch.zeros(4, 2)})
    twice = {f"a.lora_A.{name}.weight": torch.zeros(2, 4) for name in ("one", "two")}
    with pytest.raises(ValueError, match="several adapters"):
        factors(twice)


@pytest.mark.parametrize(
    "name", ["a.lora_down.weight", "a.lora_magnitude_vector", "a.lora_B.bias", "a.processor.to_q_lora.up.weight"]
)
def test_what_cannot_be_merged_is_refused(name):
    network = nn.ModuleDict({"a": nn.Linear(4, 4)})
    pair = {"a.lora_A.weight": torch.ones(2, 4), "a.lora_B.weight": torch.ones(4, 2)}
    before = network["a"].weight.detach().clone()
    with pytest.raises(ValueError, match=re.escape(f"{name}: only lora_A.weight")):
        merge(network, pair | {name: torch.ones(4)})
    assert torch.equal(network["a"].weight, before)
    with pytest.raises(ValueError, match=r"a\.scale: ModuleDict has no such layer"):
        merge(network, pair | {"a.scale": torch.ones(4)})


def test_whole_tensors_beside_adapters_are_taken():
    network = nn.ModuleDict({"a": nn.Linear(4, 4)})
    merge(network, {"a.weight": torch.ones(4, 4), "a.base_layer.bias": torch.full((4,), 2.0)})
    assert torch.equal(network["a"].weight, torch.ones(4, 4)) and network["a"].bias.eq(2).all()


def test_both_files_called_osediff_give_the_same_teacher(sd21, tmp_path):
    vae, unet = KLAutoencoder(VAE_CONFIG), networks.unet(UNET_CONFIG)
    vae.load_state_dict(read_weights(sd21 / "vae"))
    unet.load_state_dict(read_weights(sd21 / "unet"))
    vae_lora = lora(vae, ("encoder.conv_in", "quant_conv"), "default_encoder")
    unet_lora = lora(unet, UNET_LAYERS[:1], "default_encoder") | lora(
        unet, ("mid_block.resnets.0.conv1",), "default_others"
    )
    tuned = {"conv_in.base_layer.weight": torch.randn_like(unet.conv_in.weight)}
    own = {"rank_unet": 2, "rank_vae": 2, "vae_lora_encoder_modules": ["a"]}
    torch.save({**own, "state_dict_unet": unet_lora | tuned, "state_dict_vae": vae_lora}, tmp_path / "own.pkl")
    merge(vae, vae_lora)
    merge(unet, unet_lora | tuned)
    torch.save({"vae": vae.state_dict(), "unet": unet.state_dict()}, tmp_path / "merged.pkl")
    with pytest.raises(ValueError, match=r"base: .*own\.pkl holds adapters alone"):
        convert.osediff(str(tmp_path / "own.pkl"), str(tmp_path / "no"))
    convert.osediff(str(tmp_path / "own.pkl"), str(tmp_path / "a"), base=str(sd21))
    convert.osediff(str(tmp_path / "merged.pkl"), str(tmp_path / "b"), base=str(sd21))
    a, b = (OSEDiff(str(tmp_path / name)).eval() for name in "ab")
    assert_same_weights(a, b)
    assert_close(a.restore(LR, prompt=PROMPT), b.restore(LR, prompt=PROMPT))
    assert a.timestep == 999
    with pytest.raises(ValueError, match="prompt: OSEDiff's folder holds no prompt of its own"):
        a.restore(LR)


def test_pisasr_and_its_two_strengths(sd21, tmp_path):
    unet = networks.unet(UNET_CONFIG)
    unet.load_state_dict(read_weights(sd21 / "unet"))
    pixel = lora(unet, UNET_LAYERS, "default_encoder_pix", seed=6)
    semantic = lora(unet, UNET_LAYERS[:1], "default_encoder_sem", seed=7)
    torch.save({"state_dict_unet": pixel | semantic, "lora_rank_unet_pix": 2}, tmp_path / "pisa_sr.pkl")
    convert.pisasr(str(tmp_path / "pisa_sr.pkl"), str(sd21), str(tmp_path / "out"))
    z = PiSASR(str(tmp_path / "out")).autoencoder.encode(
        torch.nn.functional.interpolate(LR[:, 0], scale_factor=4, mode="bicubic")[:, None]
    )

    def residual(*adapters):
        network = networks.unet(UNET_CONFIG).eval()
        network.load_state_dict(unet.state_dict())
        for adapter in adapters:
            merge(network, adapter)
        return network(z[:, 0], 1, PROMPT).sample

    with torch.no_grad():
        faithful, whole = residual(pixel), residual(pixel, semantic)
        for strengths, expected in (
            ((1.0, 1.0), whole),
            ((1.0, 0.0), faithful),
            ((0.5, 0.0), 0.5 * faithful),
            ((0.8, 1.5), 0.8 * faithful + 1.5 * (whole - faithful)),
        ):
            teacher = PiSASR(str(tmp_path / "out"), *strengths).eval()
            latent = teacher.latent(LR, PROMPT)[:, 0]
            torch.testing.assert_close(latent, z[:, 0] - expected, atol=2e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="holds no adapters named"):
        published.pisasr_adapters({"state_dict_unet": pixel})


def test_a_training_checkpoint_is_read_without_its_objects(tmp_path):
    held = {"state_dict": {"a": torch.ones(2, dtype=torch.float16)}, "hyper_parameters": argparse.Namespace(lr=1)}
    torch.save(held, tmp_path / "a.ckpt")
    read = read_checkpoint(tmp_path / "a.ckpt")
    assert read["state_dict"]["a"].dtype == torch.float32
    assert isinstance(read["hyper_parameters"], InertObject) and not hasattr(read["hyper_parameters"], "lr")


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    torch.save({"vae": {}, "unet": {"a": Bomb(str(tmp_path / "exploded"))}}, tmp_path / "osediff.pkl")
    with pytest.raises(ValueError, match=r"osediff\.pkl"):
        convert.osediff(str(tmp_path / "osediff.pkl"), str(tmp_path / "out"))
    assert not (tmp_path / "exploded").exists() and not (tmp_path / "out").exists()


def test_delta_of_a_matrix():
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])
    assert torch.equal(delta(a, b), 8 * torch.tensor([[3.0, 6.0], [4.0, 8.0]]))
