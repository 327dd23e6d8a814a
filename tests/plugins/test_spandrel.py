import os
import pickle
from pathlib import Path

import pytest
import torch
from adc_spandrel import Spandrel
from safetensors.torch import save_file

from adc.ops.clip import upsample_bicubic
from adc.testing import check_teacher

pytest.importorskip("spandrel")

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared")) / "data/weights"


def compact(channels=3, scale=4):
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    torch.manual_seed(0)
    return SRVGGNetCompact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=scale)


def rrdb():
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    torch.manual_seed(0)
    return RRDBNet(num_filters=8, num_blocks=1, scale=4)


def swinir():
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    size = {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "mlp_ratio": 2}
    return SwinIR(img_size=64, upscale=4, upsampler="pixelshuffledirect", **size)


def hat():
    from spandrel.architectures.HAT import HAT

    torch.manual_seed(0)
    size = {"embed_dim": 36, "depths": (2,), "num_heads": (2,), "window_size": 16, "mlp_ratio": 2}
    return HAT(img_size=64, upscale=4, upsampler="pixelshuffle", squeeze_factor=6, **size)


def safmn():
    from spandrel.architectures.SAFMN import SAFMN

    torch.manual_seed(0)
    return SAFMN(dim=16, n_blocks=2, upscaling_factor=4)


def saved(network, folder, name="network.safetensors", wrap=None, dtype=None):
    state = {key: (value.to(dtype) if dtype else value).clone() for key, value in network.state_dict().items()}
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({wrap: state} if wrap else state, path)
    return str(path)


@pytest.mark.parametrize("build", [compact, rrdb, swinir, hat, safmn])
def test_architectures_keep_the_contract(build, tmp_path):
    teacher = Spandrel(saved(build(), tmp_path))
    assert teacher.scale == 4
    assert not teacher.training
    check_teacher(teacher)


def test_the_result_is_the_networks(tmp_path):
    network = compact()
    lr = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        expected = network(lr[:, 0] * 0.5 + 0.5) * 2 - 1
        torch.testing.assert_close(Spandrel(saved(network, tmp_path)).restore(lr)[:, 0], expected)


def test_sides_are_padded_as_the_architecture_asks(tmp_path):
    network = safmn().eval()
    lr = torch.rand(1, 1, 3, 19, 21) * 2 - 1
    with torch.no_grad():
        result = Spandrel(saved(network, tmp_path)).restore(lr)[:, 0]
        mirrored = torch.nn.functional.pad(lr[:, 0] * 0.5 + 0.5, (0, 3, 0, 5), mode="reflect")
        expected = network(mirrored)[..., :76, :84] * 2 - 1
    assert result.shape == (1, 3, 76, 84)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.ckpt", "a.safetensors"])
def test_endings_and_half_precision(name, tmp_path):
    teacher = Spandrel(saved(compact(), tmp_path, name, dtype=torch.float16))
    assert all(parameter.dtype == torch.float32 for parameter in teacher.parameters())
    reference = Spandrel(saved(compact(), tmp_path))
    lr = torch.rand(1, 1, 3, 16, 16)
    torch.testing.assert_close(teacher(lr), reference(lr), atol=5e-3, rtol=0)


@pytest.mark.parametrize("wrap", ["params", "params_ema", "state_dict"])
def test_wrappers_are_taken_off(wrap, tmp_path):
    assert Spandrel(saved(compact(scale=2), tmp_path, "a.pth", wrap)).scale == 2


def test_a_grey_network_leaves_colours_to_bicubic(tmp_path):
    teacher = Spandrel(saved(compact(channels=1), tmp_path))
    assert teacher.grey
    check_teacher(teacher)
    lr = torch.rand(1, 1, 3, 16, 16) * 2 - 1
    change = (teacher(lr) - upsample_bicubic(lr, 4)).detach()
    torch.testing.assert_close(change, change[:, :, :1].expand_as(change), atol=1e-5, rtol=0)
    gray = lr[:, :, :1].expand(-1, -1, 3, -1, -1)
    with torch.no_grad():
        expected = compact(channels=1)(gray[:, 0, :1] * 0.5 + 0.5) * 2 - 1
        torch.testing.assert_close(teacher(gray)[:, 0, :1], expected, atol=1e-5, rtol=1e-5)


def test_precision(tmp_path):
    file = saved(compact(), tmp_path)
    lr = torch.rand(1, 1, 3, 16, 16)
    low = Spandrel(file, precision="bfloat16")
    assert next(low.parameters()).dtype == torch.bfloat16
    result = low(lr)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, Spandrel(file)(lr), atol=0.1, rtol=0.1)
    with pytest.raises(ValueError, match="precision: SwinIR does not work in float16"):
        Spandrel(saved(swinir(), tmp_path), precision="float16")


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_code_in_a_pickle_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bomb.pth").write_bytes(pickle.dumps(Bomb()))
    torch.save({"params": Bomb()}, "zipped.pth")
    for name in ("bomb.pth", "zipped.pth"):
        with pytest.raises(ValueError, match=f"weights: {name}: ") as error:
            Spandrel(name)
        one_line(error)
    assert not Path("exploded").exists()


def test_a_missing_file_and_one_of_another_kind(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights: .*absent\.pth: no such file") as error:
        Spandrel(str(tmp_path / "absent.pth"))
    one_line(error)
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="not a file of weights; expected one that ends in"):
        Spandrel(str(tmp_path / "a.onnx"))


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_truncated_file(name, tmp_path):
    path = Path(saved(compact(), tmp_path, name))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=rf"weights: .*{name}: ") as error:
        Spandrel(str(path))
    one_line(error)


def test_what_is_no_known_network(tmp_path):
    save_file({"some.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: spandrel .* does not know this network") as error:
        Spandrel(str(tmp_path / "other.safetensors"))
    one_line(error)
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list; expected tensors by name"):
        Spandrel(str(tmp_path / "list.pth"))


def test_a_missing_tensor(tmp_path):
    state = compact().state_dict()
    del state["body.2.bias"]
    save_file(state, tmp_path / "incomplete.safetensors")
    with pytest.raises(ValueError, match="does not load"):
        Spandrel(str(tmp_path / "incomplete.safetensors"))


def test_a_network_that_does_not_enlarge(tmp_path):
    from spandrel.architectures.DnCNN import DnCNN

    file = saved(DnCNN(in_nc=3, out_nc=3, nc=8, nb=4), tmp_path)
    with pytest.raises(ValueError, match="is for restoration, not super-resolution") as error:
        Spandrel(file)
    one_line(error)


@pytest.mark.parametrize("name", ["realesr-general-x4v3_fp16.pth", "realesr-animevideov3.pth"])
def test_published_weights(name):
    if not (SHARED / name).is_file():
        pytest.skip("the published weights are not here")
    teacher = Spandrel(str(SHARED / name))
    check_teacher(teacher)
    flat = torch.full((1, 1, 3, 32, 32), 0.25)
    assert (teacher(flat)[..., 16:-16, 16:-16] - 0.25).abs().max() < 0.1


def test_published_weights_of_a_network_that_spandrel_does_not_know():
    if not (SHARED / "IMDN_x4.pth").is_file():
        pytest.skip("the published weights are not here")
    with pytest.raises(ValueError, match=r"IMDN_x4\.pth: spandrel .* does not know this network"):
        Spandrel(str(SHARED / "IMDN_x4.pth"))
