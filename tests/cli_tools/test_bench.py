import json
import xml.etree.ElementTree as ElementTree

import pytest
import torch
import yaml
from adc_tiny import Bicubic, TinyStudent
from lacking import without
from torchvision.ops import DeformConv2d

from adc.cli import main
from adc.evaluation.benchmark import cases_of, measure
from adc.evaluation.benchmark_tables import as_markdown
from adc.pruning import save_student

MACHINE = dict.fromkeys(("processor", "threads", "device", "torch", "adc", "date", "load_before", "load_after"), "x")


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *map(str, arguments)])
    return stop.value.code or 0


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**changes):
        content = {
            "folder": "out",
            "bench": {"bicubic": "Bicubic", "wide": {"class_path": "TinyStudent", "init_args": {"width": 8}}},
            "sizes": [16, 24],
            "precisions": ["plain", "bf16"],
            "repeats": 3,
        }
        path = tmp_path / "bench.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}))
        return path

    return write


def test_a_recipe_and_a_student_folder_side_by_side(recipe, tmp_path, capsys):
    save_student(TinyStudent(width=4), tmp_path / "narrow")
    assert run("-c", recipe(), "--student", "narrow") == 0
    report = json.loads((tmp_path / "out/bench.json").read_text())
    rows = {(row["name"], row["precision"], row["size"]): row for row in report["rows"]}
    names, precisions, sizes = ("bicubic", "wide", "narrow"), ("plain", "bf16"), (16, 24)
    assert set(rows) == {(name, kind, size) for name in names for kind in precisions for size in sizes}
    for name, width in (("wide", 8), ("narrow", 4)):
        row = rows[name, "plain", 24]
        parameters = sum(p.numel() for p in TinyStudent(width=width).parameters())
        assert row["parameters"] <= parameters and row["storage"] >= parameters * 4
        assert rows[name, "bf16", 24]["storage"] < 0.75 * row["storage"]
        assert row["macs"] == pytest.approx(rows[name, "plain", 16]["macs"] * 24**2 / 16**2)
        assert sum(part["macs"] for part in row["parts"].values()) == row["macs"]
        assert len(row["repeats"]) == 3 and row["fastest"] <= row["seconds"]
    assert rows["wide", "plain", 16]["macs"] > rows["narrow", "plain", 16]["macs"]
    assert rows["bicubic", "plain", 16]["parameters"] == 0
    assert "| wide | plain | 24 x 24 |" in (tmp_path / "out/bench.md").read_text()
    drawn = ElementTree.fromstring((tmp_path / "out/bench.svg").read_text())
    assert len(drawn.findall("{*}path")) == len(rows)
    assert "bench.json" in capsys.readouterr().out


def test_a_slow_moment_hits_all_alike(monkeypatch):
    order = []
    restorers = {name: TinyStudent(width=4) for name in "ab"}
    cases = cases_of(restorers, ["plain"], "cpu")
    for case in cases:
        case.run.register_forward_hook(lambda *_: None)
        restore = case.run.restore
        case.run.restore = lambda lr, restore=restore, name=case.name: order.append(name) or restore(lr)
    measure(cases, [16], 1, 3, "cpu")
    assert "".join(order).endswith("ababab")


class Deformed(Bicubic):
    """Its products are in no table of torch's."""

    def __init__(self):
        super().__init__()
        self.layer = DeformConv2d(3, 3, 1)

    def restore(self, lr, generator=None):
        still = torch.zeros(1, 2, *lr.shape[-2:], device=lr.device)
        return super().restore(self.layer(lr[:, 0], still)[:, None])


def test_what_cannot_be_counted_is_said():
    rows = measure(cases_of({"odd": Deformed(), "even": TinyStudent(width=4)}, ["plain"], "cpu"), [16], 1, 1, "cpu")
    assert rows[0]["uncounted"] == ["torchvision::deform_conv2d"] and "uncounted" not in rows[1]
    said = [line for line in as_markdown({"rows": rows, "machine": MACHINE}).splitlines() if "leave out" in line]
    assert said == ["MACs of odd leave out `torchvision::deform_conv2d`: they come on top."]


def test_attention_products_are_told_apart():
    from adc_sd21 import AdcSRStudent

    student = AdcSRStudent(folder="demo")
    row = measure(cases_of({"s": student}, ["plain"], "cpu"), [16], 1, 1, "cpu")[0]
    assert 0 < row["macs_without_attention_products"] < row["macs"]
    assert {"unet", "decoder", "mid_block"} <= set(row["parts"])
    assert "without attention products" in as_markdown({"rows": [row], "machine": MACHINE})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precisions": ["fp8"]}, "precisions: there is no 'fp8'; there are plain, fp32, bf16, fp16."),
        ({"precisions": []}, "precisions: name at least one."),
        ({"sizes": [8]}, "sizes: 8 pixels; at least 16."),
        ({"repeats": 0}, "repeats: 0; at least 1."),
        ({"device": "nowhere"}, "device nowhere: there is no such device"),
        ({"bench": {}}, "bench: there is nothing to measure"),
    ],
)
def test_what_cannot_be_measured(recipe, changes, said, capsys, tmp_path):
    assert run("-c", recipe(**changes)) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_precision_that_the_cpu_lacks_is_said_before_anything_is_measured(recipe, capsys, tmp_path):
    with without("aten::convolution", torch.float16):
        assert run("-c", recipe(precisions=["fp32", "fp16"])) == 2
        said = "precisions: fp16: this CPU does not compute in it (aten::convolution: not implemented here)"
        assert capsys.readouterr().err == f"adc: error: {said}; take fp32 or bf16.\n"
        assert not (tmp_path / "out").exists()
        assert run("-c", recipe(precisions=["plain", "fp32"], sizes=[16], repeats=1)) == 0


def test_a_student_that_is_not_there(recipe, capsys, tmp_path):
    assert run("-c", recipe(), "--student", tmp_path / "none") == 1
    assert "none: no such folder" in capsys.readouterr().err


def test_an_onnx_file_is_measured_as_it_is(recipe, tmp_path):
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    from adc.exporting.onnx import program, write_onnx

    torch.manual_seed(0)
    write_onnx(program(TinyStudent(width=4)), tmp_path / "tiny.onnx", {"scale": 4, "precision": "fp32"})
    assert run("-c", recipe(sizes=[16], bench={}, precisions=["fp32"]), "--student", "tiny.onnx") == 0
    (row,) = json.loads((tmp_path / "out/bench.json").read_text())["rows"]
    assert row["precision"] == "onnx fp32" and row["seconds"] > 0 and "macs" not in row
    assert row["storage"] == (tmp_path / "tiny.onnx").stat().st_size
    assert row["parameters"] >= sum(p.numel() for p in TinyStudent(width=4).parameters())
