"""Networks of spandrel as students: pruned, kept in a folder, trained."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from adc_spandrel import SpandrelStudent, networks
from safetensors.torch import save_file
from twins import assert_close, assert_same_weights

from adc.evaluation.prune import prune as prune_and_measure
from adc.pruning import Magnitude, load_student, prune, save_student
from adc.testing import check_student

pytest.importorskip("spandrel")

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared")) / "data/weights"

WINDOWS = {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "mlp_ratio": 2, "upscale": 4}
SMALL = {
    "ESRGAN": {"num_filters": 8, "num_blocks": 1},
    "Compact": {"num_feat": 8, "num_conv": 2},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "img_range": 1.0},
    "SwinIR": {**WINDOWS, "upsampler": "pixelshuffledirect"},
    "HAT": {**WINDOWS, "compress_ratio": 3, "squeeze_factor": 6, "num_feat": 16},
    "DAT": {"embed_dim": 24, "split_size": [8, 8], "depth": [2], "num_heads": [2], "expansion_factor": 2, "upscale": 4},
}


def student(architecture):
    torch.manual_seed(0)
    return SpandrelStudent(architecture=architecture, arguments=SMALL[architecture])


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("architecture", SMALL)
def test_a_pruned_student_runs_is_kept_and_trained(architecture, tmp_path):
    small = student(architecture)
    before = size(small)
    cuts = prune(small, {"network": 0.5}, Magnitude())
    assert cuts["student"].changed > 0 and size(small) < 0.95 * before
    save_student(small, tmp_path)
    again = load_student(str(tmp_path))
    assert_same_weights(small, again)
    lr = torch.rand(2, 1, 3, 17, 19) * 2 - 1
    with torch.no_grad():
        large = again.eval()(lr)
        assert_close(small.eval()(lr), large)
    assert large.shape == (2, 1, 3, 68, 76)

    again.train()
    optimizer = torch.optim.Adam(again.parameters(), lr=1e-3)
    (again.restore(lr) - 0.5).abs().mean().backward()
    missing = [name for name, one in again.named_parameters() if one.requires_grad and one.grad is None]
    assert not missing
    optimizer.step()
    fixed = {name for name, one in again.named_parameters() if not one.requires_grad}
    unmoved = [
        name
        for name, one in again.named_parameters()
        if name not in fixed and one.grad.any() and torch.equal(one, small.get_parameter(name))
    ]
    assert not unmoved


@pytest.mark.parametrize("architecture", ["Compact", "SPAN", "SwinIR"])
def test_the_contract(architecture):
    check_student(student(architecture))


def test_what_is_cut_is_what_magnitude_chooses():
    """Channels that are zero go first, and their going changes nothing."""
    small = student("ESRGAN").eval()
    lr = torch.rand(1, 1, 3, 16, 16)
    with torch.no_grad():
        for module in small.modules():
            if isinstance(module, torch.nn.Conv2d) and module.out_channels > 3:
                module.weight[::2] = 0
                module.bias[::2] = 0
        before = small(lr)
        prune(small, {"network": 0.4}, Magnitude())
        assert small.network.model[0].out_channels == 4
        assert_close(small(lr), before)


def test_windows_keep_their_channels_and_their_mlps_do_not():
    small = student("SwinIR")
    prune(small, {"network": 0.5}, Magnitude())
    block = small.network.layers[0].residual_group.blocks[0]
    assert block.attn.qkv.weight.shape == (36, 12) and block.norm1.weight.shape == (12,)
    assert block.mlp.fc1.weight.shape == (12, 12)
    assert small.multiple == 8


def test_merged_convolutions_follow_what_they_are_made_of():
    small = student("SPAN")
    prune(small, {"network": 0.5}, Magnitude())
    lr = torch.rand(1, 1, 3, 16, 16)
    with torch.no_grad():
        trained = small.train()(lr)
        assert_close(small.eval()(lr) / 255, trained / 255)


def test_costs_are_counted(tmp_path):
    report = prune_and_measure(student("Compact"), {"network": 0.5}, folder=tmp_path, size=16)
    row = report["parts"]["student"]
    assert row["parameters"][1] < 0.5 * row["parameters"][0] and row["macs"][1] < 0.5 * row["macs"][0]


def test_weights_say_the_architecture(tmp_path):
    whole = student("SwinIR")
    save_file({name: tensor.clone() for name, tensor in whole.network.state_dict().items()}, tmp_path / "a.safetensors")
    read = SpandrelStudent(weights=str(tmp_path / "a.safetensors"))
    assert read.init_args["weights"] is None and read.init_args["architecture"] == "SwinIR"
    assert_same_weights(read.network, whole.network)
    with torch.no_grad():
        lr = torch.rand(1, 1, 3, 16, 16)
        assert_close(read.eval()(lr), whole.eval()(lr))


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "weights: give either a file of weights or an architecture"),
        ({"architecture": "SwinR"}, "architecture: spandrel has no 'SwinR'; did you mean SwinIR"),
        ({"architecture": "Compact", "arguments": {"num_fea": 8}}, "arguments: Compact has no 'num_fea'; did you mean"),
        ({"architecture": "Compact", "arguments": {"num_in_ch": 1, "num_out_ch": 1}}, "maps 1 channels to 1"),
        ({"weights": "bomb.pth"}, "weights: bomb.pth: "),
        ({"weights": "absent.pth"}, "weights: absent.pth: no such file"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bomb.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        SpandrelStudent(**arguments)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not Path("exploded").exists()


def test_names_are_those_of_spandrel():
    names = networks.architectures()
    assert {"ESRGAN", "Compact", "SPAN", "SwinIR", "HAT", "DAT", "PLKSR", "RealPLKSR"} <= set(names)


@pytest.mark.parametrize("name", ["realesrgan-x4plus_fp16.safetensors", "realesr-general-x4v3_fp16.pth"])
def test_published_weights(name):
    if not (SHARED / name).is_file():
        pytest.skip("the published weights are not here")
    published = SpandrelStudent(weights=str(SHARED / name)).eval()
    with torch.no_grad():
        flat = published(torch.full((1, 1, 3, 32, 32), 0.25))
    assert (flat[..., 16:-16, 16:-16] - 0.25).abs().max() < 0.1
