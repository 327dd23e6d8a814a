import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from adc_sd21 import AdcSRStudent
from adc_video import AdcVSRStudent
from PIL import Image

from adc.inference.stream import mixes_frames
from adc.media.images import read_image, to_bytes, to_frame

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from adc.exporting.onnx import OPSET, parameters_of, program, size_of, write_half, write_int8, write_onnx  # noqa: E402
from adc.inference.onnx_student import OnnxStudent  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "docs" / "run_onnx.py"
VAE = {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4}


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return AdcSRStudent(vae=VAE, unet=UNET).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def made(student, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    exported = program(student)
    write_onnx(exported, path, {"scale": student.scale, "precision": "fp32"})
    return exported, path


def clip(frames, height, width):
    return torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (1, 33, 50), (2, 40, 24), (1, 17, 64)])
def test_any_number_and_size_agrees_with_eager(student, made, frames, height, width):
    exported, path = made
    lr = clip(frames, height, width)
    expected = student.restore(lr)
    torch.testing.assert_close(OnnxStudent(str(path)).restore(lr), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(exported.module()(lr[0])[None], expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_student_of_videos_sees_whole_clips(tmp_path):
    torch.manual_seed(0)
    student = AdcVSRStudent(vae=VAE, unet=UNET).eval().requires_grad_(False)
    for block in student.temporal.blocks.values():
        torch.nn.init.normal_(block.second.weight, std=0.1)
    path, exported = tmp_path / "model.onnx", program(student, of_clips=True)
    write_onnx(exported, path, {"scale": student.scale, "precision": "fp32"})
    ready = OnnxStudent(str(path))
    for frames, height, width in ((1, 16, 16), (5, 17, 34), (2, 40, 24)):
        lr = clip(frames, height, width)
        expected = student.restore(lr)
        torch.testing.assert_close(ready.restore(lr), expected, atol=2e-4, rtol=0)
        torch.testing.assert_close(exported.module()(lr), expected, atol=1e-4, rtol=0)
    both = torch.cat([lr, lr.flip(1)])
    torch.testing.assert_close(ready.restore(both)[1:], student.restore(both[1:]), atol=2e-4, rtol=0)
    assert mixes_frames(ready.restore)


def test_the_file_says_what_it_is(student, made):
    _, path = made
    model = onnx.load(path)
    assert [one.version for one in model.opset_import if one.domain == ""] == [OPSET]
    free = [dimension.dim_param for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    assert free[0] and not free[1] and free[2] and free[3]
    ready = OnnxStudent(str(path))
    assert (ready.scale, ready.facts["precision"]) == (4, "fp32")
    assert parameters_of(path) >= sum(p.numel() for p in student.unet.parameters())
    assert size_of(path) == path.stat().st_size
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_exporting_leaves_the_student_as_it_was(student, made):
    names = {type(module).__name__ for module in student.modules()}
    assert "Upsample2D" in names and "_Enlarge" not in names


def test_smaller_kinds_lose_little(student, made, tmp_path):
    _, path = made
    lr = clip(1, 32, 32)
    expected = student.restore(lr)
    write_half(path, tmp_path / "half.onnx")
    write_int8(path, tmp_path / "int8.onnx", [clip(1, 32, 32)[:, 0], clip(1, 24, 40)[:, 0]])
    for name, precision, decibels in (("half", "fp16", 45), ("int8", "int8", 12)):
        ready = OnnxStudent(str(tmp_path / f"{name}.onnx"))
        error = (ready.restore(lr) - expected).square().mean() / expected.square().mean()
        assert ready.facts == {"scale": 4, "precision": precision}
        assert error > 0 and -10 * torch.log10(error) > decibels
        assert size_of(tmp_path / f"{name}.onnx") < size_of(path)
    with pytest.raises(ValueError, match="no images"):
        write_int8(path, tmp_path / "none.onnx", [])


def test_what_is_no_student_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        OnnxStudent(str(tmp_path / "no.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07 no model")
    with pytest.raises(ValueError, match=r"broken\.onnx: not an ONNX file"):
        OnnxStudent(str(broken))
    vector = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3])
    same = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [vector], [same])
    other = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), other)
    with pytest.raises(ValueError, match="takes x"):
        OnnxStudent(str(other))


def test_a_file_of_others_tells_its_scale_itself(tmp_path):
    shape = ["n", 3, "h", "w"]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    scales = onnx.helper.make_tensor("s", onnx.TensorProto.FLOAT, [4], [1.0, 1.0, 3.0, 3.0])
    node = onnx.helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest")
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [scales])
    path = tmp_path / "three.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    ready = OnnxStudent(str(path))
    assert ready.scale == 3 and ready.facts == {}
    assert ready.restore(clip(2, 20, 16)).shape == (1, 2, 3, 60, 48)


def test_the_script_without_adc_gives_the_same_picture(student, made, tmp_path):
    lines = [line for line in SCRIPT.read_text().split('"""')[2].splitlines() if line.strip()]
    assert len(lines) <= 24 and not any(line.startswith(("import adc", "from adc")) for line in lines)
    small = (np.arange(20 * 27 * 3).reshape(20, 27, 3) * 7 % 256).astype(np.uint8)
    Image.fromarray(small).save(tmp_path / "small.png")
    subprocess.run([sys.executable, SCRIPT, made[1], "small.png", "large.png"], cwd=tmp_path, check=True, timeout=120)
    expected = to_bytes(student.restore(to_frame(small)[None, None])[0, 0])
    got = read_image(tmp_path / "large.png")
    assert got.shape == (80, 108, 3)
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


def test_the_script_reads_what_photos_may_be(student, made, tmp_path):
    """Turned by EXIF, transparent, grey of 16 bits: each as the upscaler reads it."""
    small = (np.arange(20 * 27 * 3).reshape(20, 27, 3) * 7 % 256).astype(np.uint8)
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(small).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.dstack([small, small[..., 0]])).save(tmp_path / "clear.png")
    Image.fromarray(small[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.png")
    for name in ("turned", "clear", "deep"):
        command = [sys.executable, SCRIPT, made[1], f"{name}.png", "large.png"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
        expected = to_bytes(student.restore(to_frame(read_image(tmp_path / f"{name}.png"))[None, None])[0, 0])
        got = read_image(tmp_path / "large.png")
        assert got.shape == expected.shape, name
        assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1, name


def halving(path, sides):
    """A network that takes even sides only: ONNX Runtime refuses others when it runs."""
    size = [1, 3, *sides]
    given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, size)
    made = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=2)
    graph = onnx.helper.make_graph([node], "g", [given], [made])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, {"adc": '{"scale": 4}'})
    onnx.save(model, path)
    return str(path)


def test_a_file_of_one_size_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"a\.onnx: takes images of a fixed size only \(64 x 64, 2 of its sides\)"):
        OnnxStudent(halving(tmp_path / "a.onnx", [64, 64]))


def test_an_error_of_onnx_runtime_is_one_line_with_the_file(tmp_path):
    student = OnnxStudent(halving(tmp_path / "a.onnx", ["height", "width"]))
    with pytest.raises(ValueError, match=r"a\.onnx: ONNX Runtime fails \(") as caught:
        student.restore(clip(1, 17, 16))
    assert "\n" not in str(caught.value)
