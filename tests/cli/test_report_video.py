"""The report of clips of more than one frame, and what heads of discriminators heard."""

import json
import re

import pytest
import torch
from adc_tiny import Bicubic, TinyStudent, TinyTeacher
from lightning.pytorch import LightningDataModule
from PIL import Image
from torch.utils.data import DataLoader

from adc.evaluation.head_probe import read_heads, table_of
from adc.evaluation.report import write_report
from adc.evaluation.sample_sheets import HEADER, sheets
from adc.metrics.comparison import compare
from adc.metrics.temporal import flicker, sharpness
from adc.ops.clip import quantize, upsample_bicubic
from adc.ops.temporal import profiles


def clip(frames, seed):
    """A picture that slides to the right, small and large."""
    wide = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    wide = torch.nn.functional.interpolate(wide, scale_factor=4, mode="bilinear")
    hr = quantize(torch.cat([wide[..., 4 * t : 4 * t + 64] for t in range(frames)]))
    return {"lr": hr[..., ::4, ::4].clone(), "hr": hr, "name": f"clip{seed}"}


class HeldOut(LightningDataModule):
    def __init__(self, *frames):
        super().__init__()
        self.clips = [clip(count, seed) for seed, count in enumerate(frames)]

    def val_dataloader(self):
        return DataLoader(self.clips, batch_size=1)


class Moving(Bicubic):
    """Has weights of five dimensions, as networks of video do."""

    def __init__(self):
        super().__init__()
        self.flow = torch.nn.Conv3d(3, 3, 3, padding=1)

    def restore(self, lr, generator=None):
        return super().restore(lr + 0 * self.flow(lr.transpose(1, 2)).transpose(1, 2))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run folder of a stage with what its heads heard."""
    from adc.pruning import save_student

    folder = tmp_path_factory.mktemp("runs") / "distill"
    save_student(TinyStudent(width=4), folder)
    heads = {"pixel": {"detail": {"video": 0.5, "blurred": 1.25}}, "feature": {"consistency": {"shuffled": 2}}}
    (folder / "heads.json").write_text(json.dumps(heads))
    return folder


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """A report of two clips and three restorers."""
    folder = tmp_path_factory.mktemp("report")
    restorers = {"bicubic": Bicubic(), "other": Moving(), "teacher": TinyTeacher(width=4)}
    write_report(folder, HeldOut(3, 5), restorers, [str(run)], rounds=1)
    return folder, json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()


def test_figures_of_motion_stand_beside_those_of_fidelity(written):
    pytest.importorskip("cv2")
    _, report, page = written
    for row in (*report["restorers"].values(), *report["stages"], *(image["other"] for image in report["images"])):
        assert {"psnr_y", "ssim_y", "flicker", "ewarp", "sharpness"} <= set(row)
    pairs = [(quantize(upsample_bicubic(c["lr"][None], 4)), c["hr"][None]) for c in HeldOut(3, 5).clips]
    expected = sum(flicker(*pair).item() for pair in pairs) / 2
    assert report["restorers"]["bicubic"]["flicker"] == pytest.approx(expected)
    assert report["restorers"]["other"]["ewarp"] == report["restorers"]["bicubic"]["ewarp"]
    assert report["truth"]["sharpness"] == pytest.approx(sum(sharpness(hr).item() for _, hr in pairs) / 2)
    assert "DIS" in report["ewarp"] and report["ewarp"] in page.replace("&#39;", "'")
    for title in ("flicker", "E*warp (DIS)", "sharpness"):
        assert f"<th>{title}</th>" in page
    assert re.search(r"<td>truth</td>\s*(<td></td>)+<td>\d", page)


def test_profiles_of_every_restorer(written):
    folder, _, page = written
    assert "Temporal profiles" in page and page.count("data:image/png") == 2
    assert Image.open(folder / "samples.png").size[0] == 4 * 196 - 4
    lines = 3 * (96 // 3), 5 * (96 // 5)
    assert Image.open(folder / "profiles.png").size == (4 * 196 - 4, HEADER + sum(lines) + 4)


def test_a_profile_in_the_sheet_is_that_of_the_clip():
    batch = {key: value[None] if key != "name" else [value] for key, value in clip(4, 0).items()}
    samples, motion = sheets([batch], {"bicubic": Bicubic()}, crop=32)
    tile = motion.crop((36, HEADER, 68, HEADER + 96))
    bytes_of = (profiles([batch["hr"]], 32)[0] * 0.5 + 0.5).mul(255).round().byte().permute(1, 2, 0)
    assert tile.tobytes() == bytes_of.numpy().tobytes()
    assert samples.size == (68, HEADER + 32)


def test_of_many_restorers_the_known_ones_are_shown(tmp_path):
    many = {"bicubic": Bicubic(), **{f"b{i}": Bicubic() for i in range(6)}}
    write_report(tmp_path, HeldOut(2), many, [], rounds=1)
    assert Image.open(tmp_path / "profiles.png").size[0] == 2 * 196 - 4


def test_what_each_head_hears(written, run):
    _, report, page = written
    (stage,) = report["stages"]
    assert stage["heads"] == read_heads(run)
    assert "What each head hears" in page and "<h3>distill</h3>" in page
    assert table_of(stage["heads"]) == {
        "head": ["", "video", "blurred", "shuffled"],
        "rows": [["pixel: detail", "0.500", "1.250", ""], ["feature: consistency", "", "", "2.000"]],
    }
    assert "<td>pixel: detail</td><td>0.500</td><td>1.250</td><td></td>" in page


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"heads.json: the file is '\[1\]'; expected losses by domain, head and kind of clip"),
        ('{"pixel": {"detail": 2}}', "heads.json: pixel.detail is '2'"),
        ('{"pixel": {"detail": {"video": NaN}}}', "heads.json: pixel.detail.video is nan, no finite number"),
        ('{"pixel": {"detail": {"video": "low"}}}', "heads.json: pixel.detail.video is 'low'"),
        ("no json", "heads.json is no JSON"),
    ],
)
def test_losses_that_are_none(tmp_path, content, message):
    assert read_heads(tmp_path) == {}
    (tmp_path / "heads.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_heads(tmp_path)


def test_a_report_of_images_says_nothing_of_motion(tmp_path):
    (tmp_path / "profiles.png").touch()
    write_report(tmp_path, HeldOut(1), {"bicubic": Bicubic()}, [], rounds=1)
    report, page = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.html").read_text()
    assert not {"truth", "ewarp"} & set(report)
    assert not {"flicker", "ewarp", "sharpness"} & {*report["restorers"]["bicubic"], *report["images"][0]["bicubic"]}
    assert "profiles" not in page and "E*warp" not in page and "hears" not in page
    assert not (tmp_path / "profiles.png").exists()


def test_images_among_clips_do_not_count_in_figures_of_motion():
    batches = list(HeldOut(1, 3).val_dataloader())
    both, alone = (compare({"b": Bicubic()}, some, rounds=1)["b"] for some in (batches, batches[1:]))
    assert both.flicker == alone.flicker and both.sharpness == alone.sharpness
    assert both.psnr_y != alone.psnr_y
