"""The video student: an image student until its temporal blocks have learned something."""

import pytest
import torch
from adc_sd21 import AdcSRStudent, OSEDiff, SDAutoencoder
from adc_sd21.one_step import unet_weights
from adc_video import AdcVSRStudent
from twins import assert_close, assert_same_weights

from adc.exporting.onnx import program
from adc.inference.stream import mixes_frames
from adc.metrics.efficiency import count
from adc.ops.clip import upsample_bicubic
from adc.pruning import Magnitude, Taylor, load_student, prune, save_student
from adc.testing import check_student
from adc.training.memory import enable_gradient_checkpointing

VAE = {"block_out_channels": [8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
}
SMALL = {"vae": VAE, "unet": UNET, "unshuffle": 1}
ENCODER = {"latent": "encoder", "encoder_config": VAE}
DOVE = 10.55e9


def made(**changes):
    torch.manual_seed(0)
    return AdcVSRStudent(**SMALL, **changes).eval()


def clip(frames=3, side=16, seed=1):
    return torch.rand(1, frames, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def stir(student):
    """Temporal weights that do something."""
    for block in student.temporal.blocks.values():
        torch.nn.init.normal_(block.second.weight, std=0.1)
    return student


@pytest.mark.parametrize("changes", [{}, {"temporal": "blocks"}, {"temporal": "none"}, ENCODER], ids=str)
def test_contract(changes):
    check_student(stir(made(**changes)), autoencoder=SDAutoencoder(config=VAE))


@pytest.fixture(scope="module", params=["whole", "taylor", "magnitude"])
def image_student(request, tmp_path_factory):
    torch.manual_seed(0)
    student = AdcSRStudent(**SMALL)
    if request.param != "whole":
        importance = Taylor(batches=2) if request.param == "taylor" else Magnitude()
        prune(student, {"unet": 0.25, "decoder": 0.5}, importance, [clip(1, seed=seed) for seed in range(2)])
    folder = tmp_path_factory.mktemp(request.param)
    save_student(student, folder)
    return folder


@pytest.mark.parametrize("temporal", ["layers", "blocks", "none"])
def test_it_begins_as_the_image_student_of_every_frame(image_student, temporal, tmp_path):
    image, video = load_student(str(image_student)).eval(), AdcVSRStudent(str(image_student), temporal=temporal).eval()
    save_student(video, tmp_path)
    again = load_student(str(tmp_path)).eval()
    lr = torch.cat([clip(4, seed=seed) for seed in (1, 2)])[..., :19, :22]
    with torch.no_grad():
        one_by_one = torch.stack([image(frame[:, None])[:, 0] for frame in lr.unbind(1)], dim=1)
        for student in (video, again):
            assert_close(student(lr), one_by_one)
            assert_close(student(lr[:, :1]), one_by_one[:, :1])


def test_what_it_learned_comes_back(image_student, tmp_path):
    video = stir(AdcVSRStudent(str(image_student)).eval())
    widths = {block.first.in_channels for block in video.temporal.blocks.values()}
    assert widths == {16, 32} if "whole" in image_student.name else max(widths) < 32
    save_student(video, tmp_path)
    again = load_student(str(tmp_path)).eval()
    assert again.init_args == video.init_args
    assert_same_weights(again, video)
    with torch.no_grad():
        assert_close(again(clip()), video(clip()))


def test_the_layers_that_temporal_blocks_follow():
    behind = {"layers": [], "blocks": []}
    for temporal in behind:
        behind[temporal] = [key.removeprefix("unet_") for key in made(temporal=temporal).temporal.blocks]
    down, up = ["down_blocks_0_attentions_0"], ["up_blocks_1_attentions_0", "up_blocks_1_attentions_1"]
    assert set(behind["blocks"]) == {*down, *up, "down_blocks_1_resnets_0", "up_blocks_0_resnets_0"} | {
        "up_blocks_0_resnets_1", "mid_block_attentions_0", "mid_block_resnets_1",
    }  # fmt: skip
    more = set(behind["layers"]) - set(behind["blocks"])
    assert more == {key.replace("attentions", "resnets") for key in behind["blocks"] if "attentions" in key}
    assert len(made().temporal.blocks) == 15, "both middle blocks, the UNet's and the decoder's"
    assert len(made(temporal="none").temporal.blocks) == 0


@pytest.mark.parametrize("changes", [{}, {"temporal": "blocks", **ENCODER}], ids=str)
def test_every_block_is_run(changes):
    student = made(**changes)
    student(clip()).square().mean().backward()
    blocks = student.temporal.blocks
    assert all(block.second.weight.grad.any() and block.second.bias.grad.any() for block in blocks.values())
    assert not any(block.first.weight.grad.any() for block in blocks.values()), "what follows them is zero yet"
    stir(student)(clip()).square().mean().backward()
    assert all(block.first.weight.grad.any() for block in blocks.values())


def test_a_frame_reaches_as_far_as_the_blocks_let_it():
    """A block looks two frames ahead and back; of nine frames the middle one changes."""
    student = made(temporal="blocks")
    one, other = clip(9), clip(9)
    other[:, 4] = -other[:, 4]
    assert not mixes_frames(student)
    with torch.no_grad():
        torch.nn.init.normal_(student.temporal.blocks["mid_block_resnets_1"].second.weight)
        reached = (student.encode(one) - student.encode(other)).abs().amax((0, 2, 3, 4))
        assert reached.bool().tolist() == [2 <= frame <= 6 for frame in range(9)]
        assert mixes_frames(student)
        all_reached = (stir(student).encode(one) - student.encode(other)).abs().amax((0, 2, 3, 4))
        assert all_reached.bool().all()


def test_clips_of_a_batch_are_apart():
    student = stir(made())
    both = torch.cat([clip(3, seed=1), clip(3, seed=2)])
    with torch.no_grad():
        torch.testing.assert_close(student(both)[1:], student(both[1:]))
        backwards = student(both.flip(1)).flip(1)
        assert not torch.allclose(backwards, student(both), atol=1e-4), "time has a direction"


@pytest.mark.parametrize("changes", [{}, ENCODER], ids=str)
def test_recomputing_changes_no_gradient(changes):
    gradients = []
    for checkpoint_activations in (False, True):
        student = stir(made(**changes)).train()
        if checkpoint_activations:
            enable_gradient_checkpointing(student)
        calls = 0

        def counted(*_):
            nonlocal calls
            calls += 1

        student.temporal.blocks["unet_up_blocks_0_resnets_0"].register_forward_pre_hook(counted)
        student.decoder.up_blocks[-1].resnets[-1].register_forward_pre_hook(counted)
        student.restore(clip()).square().mean().backward()
        assert calls == 2 * (1 + checkpoint_activations)
        gradients.append([parameter.grad for parameter in student.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


SIZES = [
    ({}, 574_116_627, 576_752_147),
    ({"temporal": "blocks"}, 531_886_579, 534_522_099),
    ({"temporal": "none"}, 456_073_683, 458_709_203),
    ({"temporal": "blocks", "latent": "encoder"}, 566_032_963, 568_668_483),
]


@pytest.mark.parametrize(("changes", "run", "held"), SIZES, ids=[str(size[0]) for size in SIZES])
def test_published_size(changes, run, held):
    with torch.device("meta"):
        student = AdcVSRStudent(**changes)
    assert sum(parameter.numel() for parameter in student.parameters()) == held
    cost = count(student, torch.empty(1, 2, 3, 128, 128, device="meta"))
    assert cost.parameters == run
    if not changes:
        assert run == pytest.approx(0.57e9, rel=0.02) and run < 0.055 * DOVE
        assert held == pytest.approx(0.57e9, rel=0.02) and held < 0.055 * DOVE


def test_an_encoder_brings_the_filters_that_are_left(tmp_path):
    """A magnitude-pruned student's first convolution is traced to the UNet's, channel by channel."""
    torch.manual_seed(0)
    home = tmp_path / "teacher"
    OSEDiff(vae=VAE, unet=UNET, prompt_tokens=2).save_pretrained(str(home), torch.float32)
    whole = AdcSRStudent(str(home), unshuffle=1)
    prune(whole, {"unet": 0.25, "decoder": 0.5}, Magnitude())
    save_student(whole, tmp_path / "pruned")
    video = AdcVSRStudent(str(tmp_path / "pruned"), latent="encoder", encoder=str(home)).eval()
    own, first = unet_weights(home)["conv_in.weight"], video.unet.conv_in.weight
    assert first.shape == (12, 4, 3, 3)
    kept = [next(index for index, theirs in enumerate(own) if torch.equal(theirs, ours)) for ours in first]
    assert kept == sorted(set(kept)) and kept != list(range(12))
    with torch.no_grad():
        latent = SDAutoencoder(str(home)).encode(upsample_bicubic(clip(1), 4))
        torch.testing.assert_close(video.on_grid(clip(1)[0]), latent[0])
    save_student(video, tmp_path / "video")
    with torch.no_grad():
        assert torch.equal(load_student(str(tmp_path / "video")).eval()(clip()), video(clip()))


def test_an_image_goes_through_an_exported_program():
    student = stir(made())
    exported = program(student).module()
    image = clip(1, side=21)[0]
    with torch.no_grad():
        torch.testing.assert_close(exported(image), student(image[:, None])[:, 0], atol=1e-5, rtol=1e-4)


def test_what_contradicts_itself_is_refused(image_student, tmp_path):
    folder = str(image_student)
    with pytest.raises(ValueError, match="unet: an artifact brings its own"):
        AdcVSRStudent(folder, unet=UNET)
    with pytest.raises(ValueError, match="encoder: the student has none unless latent is encoder"):
        made(encoder_config=VAE)
    with pytest.raises(ValueError, match="encoder: its stride is 8, but the student's decoder has 4"):
        made(latent="encoder")
    with pytest.raises(ValueError, match="latent: encoder needs a UNet that begins as"):
        AdcVSRStudent(vae={**VAE, "shortcut": 4}, unet=UNET, unshuffle=1, **ENCODER)
    with pytest.raises(NotImplementedError, match="prune an AdcSRStudent"):
        made().prunable()
    save_student(made(), tmp_path)
    with pytest.raises(ValueError, match=r"holds a student of videos; adc\.pruning\.load_student reads it"):
        AdcVSRStudent(str(tmp_path))
