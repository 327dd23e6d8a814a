"""The report: what it measures, and that its page stands alone."""

import json
import re

import pytest
import torch
from adc_tiny import Bicubic, TinyStudent, TinyTeacher
from PIL import Image

from adc.evaluation.loss_curves import read_curves, thin
from adc.evaluation.sample_sheets import busiest, sheets, to_image
from adc.metrics.comparison import compare
from adc.metrics.fidelity import psnr_y, ssim_y
from adc.ops.clip import quantize, upsample_bicubic


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    hr = [quantize(torch.rand(1, 1, 3, 64, 64 + 16 * i, generator=generator) * 2 - 1) for i in range(2)]
    return [{"lr": clip[..., ::4, ::4].clone(), "hr": clip, "name": [f"photo{i}"]} for i, clip in enumerate(hr)]


def test_figures_are_those_of_each_restorer(clips):
    told = []
    table = compare({"bicubic": Bicubic(), "teacher": TinyTeacher()}, clips, rounds=2, progress=told.append)
    expected = [psnr_y(quantize(upsample_bicubic(clip["lr"], 4)), clip["hr"]).item() for clip in clips]
    assert [image["psnr_y"] for image in table["bicubic"].images] == pytest.approx(expected)
    assert table["bicubic"].psnr_y == pytest.approx(sum(expected) / 2)
    assert (table["bicubic"].parameters, table["bicubic"].macs) == (0, 0)
    assert table["teacher"].parameters == sum(p.numel() for p in TinyTeacher().parameters())
    assert table["teacher"].macs > 0 and table["teacher"].seconds_per_image > 0
    assert table["teacher"].niqe is None
    assert told == ["photo0", "photo0", "photo1", "photo1"]


def test_niqe_is_the_mean_of_what_rates_say(clips):
    rates = iter([torch.tensor([3.0]), torch.tensor([5.0])])
    table = compare({"bicubic": Bicubic()}, clips, niqe=lambda _: next(rates), rounds=1)
    assert table["bicubic"].niqe == 4.0


def test_students_are_timed_in_turn(clips):
    order = []

    class Noted(Bicubic):
        def restore(self, lr, generator=None):
            order.append(id(self))
            return super().restore(lr)

    first, second = Noted(), Noted()
    compare({"a": first, "b": second}, clips[:1], rounds=3)
    timed = order[:6]
    assert timed == [id(first), id(second)] * 3


def test_curves_are_thinned_and_leave_counters_out(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    for step in range(10):
        writer.add_scalar("student/L1", 10 - step, step)
        writer.add_scalar("updates/student", step, step)
    writer.close()
    curves = read_curves(tmp_path, points=5)
    assert list(curves) == ["student/L1"]
    assert curves["student/L1"][0] == (0.5, 9.5)
    assert len(curves["student/L1"]) == 5
    assert read_curves(tmp_path / "none") == {}
    assert thin([(1, 2)], 5) == [(1.0, 2.0)]


def test_the_sheet_shows_the_busiest_crop_of_each_restorer(clips):
    flat = torch.zeros(1, 1, 3, 64, 64)
    flat[..., 32:, 32:] = torch.rand(1, 1, 3, 32, 32)
    assert busiest(flat, 32) == (32, 32)
    sheet, _ = sheets(clips, {"bicubic": Bicubic(), "student": TinyStudent()}, crop=32)
    assert sheet.size == (3 * 36 - 4, 2 * 36 - 4 + 18)
    top, left = busiest(clips[0]["hr"], 32)
    truth = to_image(clips[0]["hr"][..., top : top + 32, left : left + 32])
    assert sheet.crop((72, 18, 104, 50)).tobytes() == truth.tobytes()


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_recipe_becomes_data_a_page_and_a_picture(tmp_path, monkeypatch, capsys, columns):
    from adc.cli.report import main
    from adc.pruning import save_student

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.chdir(tmp_path)
    save_student(TinyStudent(), tmp_path / "runs" / "pruned")
    recipe = tmp_path / "3_report.yaml"
    recipe.write_text(
        """
folder: out
title: a & b
data:
  class_path: DegradedClips
  init_args: {size: 64, batch_size: 1, degradation: BicubicDown, workers: 0, validation_size: 64, validation_limit: 2}
restorers:
  bicubic: Bicubic
  teacher: TinyTeacher
  student: {class_path: adc.pruning.load_student, init_args: {folder: runs/pruned}}
stages: [runs/pruned]
rounds: 1
"""
    )
    main(["-c", str(recipe)])
    printed = capsys.readouterr().out
    assert "PSNR-Y" in printed and "after pruned" in printed and "student and teacher agree to" in printed
    assert printed.splitlines()[-3:] == ["out/report.json", "out/samples.png", "out/report.html"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["restorers"]) == {"bicubic", "teacher", "student"}
    keys = {"psnr_y", "ssim_y", "parameters", "macs", "seconds_per_image"}
    assert all(keys <= set(row) for row in report["restorers"].values())
    assert [stage["name"] for stage in report["stages"]] == ["pruned"]
    assert report["stages"][0]["psnr_y"] == report["restorers"]["student"]["psnr_y"]
    assert [image["name"] for image in report["images"]] == ["astronaut", "chelsea"]
    gain = report["restorers"]["teacher"]["psnr_y"] - report["restorers"]["bicubic"]["psnr_y"]
    assert report["kept"]["teacher_gain_db"] == pytest.approx(gain) and report["kept"]["gain"] is None  # it is negative
    assert report["kept"]["agreement_db"] == pytest.approx(report["restorers"]["student"]["agreement"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "a &amp; b" in page and "Stage by stage" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert Image.open(tmp_path / "out" / "samples.png").size[0] == 4 * 196 - 4
    assert (tmp_path / "out" / "finished.json").is_file()


def test_agreement_with_the_teacher(clips):
    teacher = TinyTeacher()
    table = compare({"bicubic": Bicubic(), "teacher": teacher, "student": Bicubic()}, clips, rounds=1)
    with torch.no_grad():
        pairs = [(quantize(Bicubic().restore(c["lr"])), quantize(teacher.eval().restore(c["lr"]))) for c in clips]
    expected = sum(psnr_y(ours, theirs).item() for ours, theirs in pairs) / 2
    assert table["student"].agreement == pytest.approx(expected) == table["bicubic"].agreement
    similar = sum(ssim_y(ours, theirs).item() for ours, theirs in pairs) / 2
    assert table["student"].agreement_ssim == pytest.approx(similar) == table["bicubic"].agreement_ssim
    assert 0 < similar < 1
    assert table["teacher"].agreement is None and table["teacher"].agreement_ssim is None


@pytest.mark.parametrize(("teacher", "share"), [(26.0, 0.5), (25.05, None), (24.3, None)])
def test_a_share_of_a_gain_needs_a_gain(teacher, share):
    from adc.evaluation.report import _kept
    from adc.evaluation.report_page import headline
    from adc.metrics.comparison import Figures

    def figures(psnr, **more):
        return Figures(psnr_y=psnr, parameters=10, macs=10, seconds_per_image=1.0, **more)

    table = {
        "bicubic": figures(25.0),
        "teacher": figures(teacher),
        "student": figures(25.5, agreement=31.2, agreement_ssim=0.9123),
    }
    kept = _kept(table)
    assert kept["gain"] == share and kept["agreement_db"] == 31.2
    line = headline({"kept": kept})
    assert "student and teacher agree to 31.20 dB and SSIM 0.912" in line and kept["agreement_ssim"] == 0.9123
    if share is None:
        assert f"the teacher is {teacher - 25:+.2f} dB from bicubic" in line and "% of the teacher's gain" not in line
    else:
        assert "keeps 50% of the teacher's gain of 1.00 dB" in line
