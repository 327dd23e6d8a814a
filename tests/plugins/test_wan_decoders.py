"""A student's own decoder: the autoencoder's, cut along the dependency graph, and the small one that also sees LR."""

import copy
from dataclasses import replace

import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser, TinyStudent
from adc_wan import (
    ConditionalDecoder,
    FoldedWan,
    OneStepVideo,
    WanAutoencoder,
    WanDecoder,
    folded_student,
    student_with_decoder,
)
from test_wan import count
from test_wan_fold import student as wan_student

from adc.losses import L1
from adc.pruning import Magnitude, Prefix, load_student, prune, pruned, save_student
from adc.pruning.prune import find_groups
from adc.stages import DecoderPretraining
from adc.testing import check_decoder, check_stage, check_student
from adc.training import Role

VAE = {"base_dim": 4, "num_res_blocks": 1}
NARROW = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
SMALL = {"width": 4, "blocks": (1, 1, 1)}


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def student(decoder, config=VAE):
    conditioner = TinyConditioner(autoencoder=WanAutoencoder(config=config, decoder=decoder is None))
    return OneStepVideo(TinyDenoiser(channels=16), conditioner, decoder).eval()


def pretraining(restorer, config=VAE):
    roles = {"decoder": Role(lambda parameters: torch.optim.Adam(parameters, lr=1e-3))}
    return DecoderPretraining(restorer, WanAutoencoder(config=config), [L1()], roles)


def batch(frames=5):
    return {"lr": drawn(1, frames, 3, 16, 16), "hr": drawn(1, frames, 3, 64, 64), "name": ["0"]}


def moved(stage):
    """Names of the parameters that one step changes."""
    before = {name: parameter.detach().clone() for name, parameter in stage.named_parameters()}
    (optimizer,) = [role.optimizer(stage.module_of(name).parameters()) for name, role in stage.roles.items()]
    with torch.no_grad():
        views = stage.prepare(batch())
    sum(stage.decoder_loss(views).values()).backward()
    optimizer.step()
    return {name for name, parameter in stage.named_parameters() if not torch.equal(parameter, before[name])}


@torch.no_grad()
def test_its_own_decoder_is_the_autoencoders():
    whole, own = student(None), student(WanDecoder(config=VAE))
    lr = drawn(2, 6, 3, 17, 16)
    assert torch.equal(own.restore(lr), whole.restore(lr))
    assert sum(p.numel() for p in own.parameters()) == sum(p.numel() for p in whole.parameters())
    again = copy.deepcopy(own)
    prune(again, {"denoiser": 0.0, "decoder": 0.0}, Magnitude())
    assert torch.equal(again.restore(lr), whole.restore(lr))


def test_channels_that_fare_alike():
    decoder = WanDecoder(config=VAE)
    names = {module: name for name, module in decoder.network.named_modules()}
    groups = [
        (group.size, group.free, {(names[side.layer], side.output) for side in group.sides})
        for group in find_groups(decoder.prunable())
    ]
    (stream,) = [group for group in groups if ("mid_block.attentions.0.proj", True) in group[2]]
    assert stream[:2] == (16, True)
    assert {("conv_in", True), ("up_blocks.0.upsamplers.0.time_conv", True)} <= stream[2]
    assert {("up_blocks.0.upsamplers.0.resample.1", False), ("mid_block.attentions.0.norm", True)} <= stream[2]
    assert (16, True, {("mid_block.attentions.0.to_qkv", True), ("mid_block.attentions.0.proj", False)}) in groups
    assert [group for group in groups if not group[1]] == [(3, False, {("conv_out", True)})]
    assert {name for *_, sides in groups for name, _ in sides} == {
        name for name, layer in decoder.network.named_modules() if list(layer.parameters(recurse=False))
    }


@pytest.mark.parametrize("importance", [Magnitude(), Prefix()])
@pytest.mark.parametrize("config", [VAE, NARROW])
@torch.no_grad()
def test_half_of_its_channels(tmp_path, config, importance):
    own = student(WanDecoder(config=config), config)
    full = count(own.decoder)
    encoder = {name: tensor.clone() for name, tensor in own.conditioner.state_dict().items()}
    cut = prune(own, {"decoder": 0.5}, importance)
    assert cut["denoiser"].changed == 0 and cut["decoder"].changed == cut["decoder"].layers
    network = own.decoder.network
    width = network.conv_in.out_channels
    assert width == config["base_dim"] * config.get("dim_mult", [4])[-1] // 2
    assert network.up_blocks[0].upsamplers[0].time_conv.out_channels == 2 * width
    assert network.mid_block.attentions[0].norm.scale == pytest.approx(width**0.5)
    assert count(own.decoder) < (0.3 if config is VAE else 0.5) * full
    assert all(torch.equal(tensor, encoder[name]) for name, tensor in own.conditioner.state_dict().items())
    lr = drawn(1, 9, 3, 16, 16)
    restored = own.restore(lr)
    assert restored.shape == (1, 9, 3, 64, 64) and restored.isfinite().all()
    save_student(own, tmp_path)
    again = load_student(str(tmp_path)).eval()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, own.state_dict()[name]), name
    torch.testing.assert_close(again.restore(lr), restored, atol=1e-3, rtol=0)
    latents = own.conditioner.autoencoder.to_decoder_input(own.encode(lr))
    parts = list(again.decoder.stream(iter(latents.split(1, dim=1))))
    assert [part.shape[1] for part in parts] == [1, 4, 4]
    torch.testing.assert_close(torch.cat(parts, dim=1), own.decoder(latents), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("ratio", "parameters"), [(0.5, 18_372_339), (0.7, 6_594_993)])
def test_published_size(ratio, parameters):
    with torch.device("meta"):
        own = OneStepVideo(TinyDenoiser(), TinyConditioner(), WanDecoder())
        assert count(own.decoder) == 73_295_331
    assert count(pruned(own, {"decoder": ratio}).decoder) == parameters


@torch.no_grad()
def test_channels_that_are_idle_can_go():
    """To the root of two of a norm's scale: its mean square is one of half as many channels, the others were zeros."""
    decoder = WanDecoder(config=VAE).eval()
    block = decoder.network.mid_block.resnets[0]
    block.conv1.weight[::2], block.conv1.bias[::2] = 0, 0
    block.conv2.weight[:, ::2] = 0
    latents, plan = drawn(1, 3, 16, 2, 2), decoder.prunable()
    expected, kept = decoder(latents), block.conv2.weight[:, 1::2].clone()
    others = [layer for layer in decoder.modules() if hasattr(layer, "in_channels") and layer is not block.conv1]
    decoder.prunable = lambda: replace(plan, ignored=others)
    prune(student(decoder), {"decoder": 0.5}, Magnitude())
    assert torch.equal(block.conv2.weight, kept) and block.norm2.gamma.shape == (8, 1, 1, 1)
    block.norm2.gamma *= 2**0.5
    torch.testing.assert_close(decoder(latents), expected, atol=1e-5, rtol=1e-5)


def test_contracts():
    for decoder in (WanDecoder(config=VAE), ConditionalDecoder(**SMALL)):
        check_decoder(decoder, WanAutoencoder(config=VAE), size=32)
    check_student(student(WanDecoder(config=VAE)), autoencoder=WanAutoencoder(config=VAE), size=16)
    check_student(student(ConditionalDecoder(**SMALL)), autoencoder=WanAutoencoder(config=VAE), size=16)


@pytest.mark.parametrize(
    "decoder", [WanDecoder(config=VAE), ConditionalDecoder(**SMALL)], ids=["pruned", "conditional"]
)
def test_a_step_of_pretraining_moves_the_decoder_and_nothing_else(decoder):
    own = student(copy.deepcopy(decoder))
    if isinstance(decoder, WanDecoder):
        prune(own, {"decoder": 0.5}, Magnitude())
    stage = pretraining(own)
    changed = moved(stage)
    assert changed <= {f"student.decoder.{name}" for name, _ in own.decoder.named_parameters()}
    assert {name.rpartition(".")[0] for name in changed} >= {
        f"student.decoder.{name}"
        for name, layer in own.decoder.named_modules()
        if isinstance(layer, torch.nn.Conv3d | torch.nn.Conv2d)
    }


def test_the_stages_contract():
    check_stage(pretraining(student(ConditionalDecoder(**SMALL))), batch())


def test_a_student_without_a_decoder_is_not_pretrained():
    with pytest.raises(ValueError, match="student: this OneStepVideo has no decoder of its own; give it one"):
        pretraining(student(None))
    with pytest.raises(ValueError, match="student: this OneStepVideo has no decoder of its own"):
        student(None).decode_latents(drawn(1, 1, 16, 2, 2))
    with pytest.raises(ValueError, match="autoencoder: it has no decoder to decode; leave `decoder: false` out"):
        WanAutoencoder(config=VAE, decoder=False).decode(drawn(1, 1, 16, 2, 2))
    wan22 = {**VAE, "decoder_base_dim": 8, "dim_mult": [1, 1, 1, 1], "is_residual": True}
    with pytest.raises(NotImplementedError, match=r"shortcuts of Wan 2\.2 repeat channels"):
        WanDecoder(config=wan22).prunable()


def test_folders_for_recipes(tmp_path):
    whole, lr = wan_student(), drawn(1, 5, 3, 16, 16)
    save_student(whole, tmp_path / "whole")
    own = folded_student(str(tmp_path / "whole"), own_decoder=True).eval()
    assert isinstance(own.denoiser, FoldedWan) and isinstance(own.decoder, WanDecoder)
    with torch.no_grad():
        torch.testing.assert_close(own.restore(lr), whole.restore(lr), atol=1e-5, rtol=0)
        prune(own, {"denoiser": 0.5, "decoder": 0.5}, Magnitude())
        save_student(own, tmp_path / "cut")
        again = load_student(str(tmp_path / "cut")).eval()
        torch.testing.assert_close(again.restore(lr), own.restore(lr), atol=1e-5, rtol=0)
        other = student_with_decoder(str(tmp_path / "cut"), ConditionalDecoder(**SMALL)).eval()
        save_student(other, tmp_path / "conditional")
        found = load_student(str(tmp_path / "conditional")).eval()
        torch.testing.assert_close(found.restore(lr), other.restore(lr), atol=1e-5, rtol=0)
        assert torch.equal(found.encode(lr), again.encode(lr))
    assert not any(".decoder." in name for name in found.state_dict())
    save_student(TinyStudent(), tmp_path / "tiny")
    with pytest.raises(ValueError, match="holds a TinyStudent"):
        student_with_decoder(str(tmp_path / "tiny"), ConditionalDecoder(**SMALL))


class Broken(ConditionalDecoder):
    """Each way to break the contract."""

    way = ""

    def forward(self, projected, lr=None):
        pixels = super().forward(projected, lr.detach() if self.way == "LR" else lr)
        if self.way == "frames":
            return pixels[:, -1:]
        if self.way == "batch":
            return pixels + pixels.mean(dim=0)
        return pixels.detach() if self.way == "gradient" else pixels


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("frames", r"Broken: the result's shape must be"),
        ("gradient", "must carry gradients to the decoder inputs"),
        ("LR", "gradients must reach the LR clip; none does"),
        ("batch", "must not depend on the other clips of its batch"),
    ],
)
def test_a_broken_contract_is_found(way, message):
    decoder = Broken(**SMALL)
    decoder.way = way
    with pytest.raises(AssertionError, match=message):
        check_decoder(decoder, WanAutoencoder(config=NARROW), size=32)


class TestConditional:
    """The small decoder."""

    decoder = ConditionalDecoder(**SMALL).eval()

    @torch.no_grad()
    def test_it_depends_on_latents_and_on_lr(self):
        latents, lr = drawn(2, 3, 16, 4, 4), drawn(2, 9, 3, 8, 8)
        pixels = self.decoder(latents, lr)
        assert pixels.shape == (2, 9, 3, 32, 32)
        assert (self.decoder(latents, -lr) - pixels).std() > 0.1
        assert (self.decoder(-latents, lr) - pixels).std() > 0.01
        small = copy.deepcopy(self.decoder)
        small.conv_out.weight.zero_(), small.conv_out.bias.zero_()
        enlarged = torch.nn.functional.interpolate(lr.flatten(0, 1), scale_factor=4, mode="bicubic")
        torch.testing.assert_close(small(latents, lr).flatten(0, 1), enlarged, atol=1e-4, rtol=0)

    @torch.no_grad()
    def test_no_frame_sees_what_comes_later(self):
        latents, lr = drawn(1, 4, 16, 2, 2), drawn(1, 13, 3, 4, 4)
        pixels = self.decoder(latents, lr)
        for latent, frame in ((1, 1), (2, 5), (3, 9)):
            later = latents.clone()
            later[:, latent:] += 1
            changed = (self.decoder(later, lr) - pixels).abs().amax((0, 2, 3, 4)) > 1e-6
            assert changed.tolist() == [False] * frame + [True] * (13 - frame)
        for frame in (1, 4, 12):
            later = lr.clone()
            later[:, frame:] += 0.5
            changed = (self.decoder(latents, later) - pixels).abs().amax((0, 2, 3, 4)) > 1e-6
            assert changed.tolist() == [False] * frame + [True] * (13 - frame)

    @torch.no_grad()
    def test_parts_equal_the_whole_and_are_asked_for_one_by_one(self):
        latents, lr = drawn(1, 5, 16, 2, 2), drawn(1, 17, 3, 4, 4)
        whole = self.decoder(latents, lr)
        for sizes, frames in (([1] * 5, [1, 4, 4, 4, 4]), ([2, 3], [5, 12]), ([5], [17])):
            parts = zip(latents.split(sizes, dim=1), lr.split(frames, dim=1), strict=True)
            found = list(self.decoder.stream(parts))
            assert [part.shape[1] for part in found] == frames
            torch.testing.assert_close(torch.cat(found, dim=1), whole, atol=1e-5, rtol=0)
        asked = []

        def endless():
            while True:
                asked.append(True)
                yield drawn(1, 1, 16, 2, 2), drawn(1, 4 if len(asked) > 1 else 1, 3, 4, 4)

        stream = self.decoder.stream(endless())
        assert [next(stream).shape[1] for _ in range(20)] == [1] + [4] * 19
        assert len(asked) == 20

    def test_gradients_reach_everything(self):
        decoder = copy.deepcopy(self.decoder)
        latents, lr = drawn(1, 2, 16, 2, 2).requires_grad_(), drawn(1, 5, 3, 4, 4).requires_grad_()
        decoder(latents, lr).square().sum().backward()
        assert all(one.grad.abs().sum() > 0 for one in (latents, lr, *decoder.parameters()))

    @torch.no_grad()
    def test_other_strides_and_scales(self):
        for scale, strides, blocks in ((2, (4, 8), (1, 1)), (1, (2, 8), (1, 1, 1, 1)), (4, (1, 8), (1, 1, 1))):
            decoder = ConditionalDecoder(16, 4, blocks, scale, strides)
            frames = 1 + 2 * strides[0]
            pixels = decoder(drawn(1, 3, 16, 2, 2), drawn(1, frames, 3, 16 // scale, 16 // scale))
            assert pixels.shape == (1, frames, 3, 16, 16)

    def test_sizes_and_seeds(self):
        with torch.device("meta"):
            assert count(ConditionalDecoder()) == 8_646_156
        one, other = ConditionalDecoder(**SMALL), ConditionalDecoder(**SMALL, seed=1)
        assert torch.equal(one.conv_in.weight, self.decoder.conv_in.weight)
        assert not torch.equal(one.conv_in.weight, other.conv_in.weight)

    def test_what_does_not_fit(self):
        for arguments, message in (
            ({"scale": 3}, "scale: 3 does not fit 8 pixels for each latent; ConditionalDecoder takes 1, 2, 4"),
            ({"blocks": (1,)}, "blocks: 1 grids do not fit 8 pixels"),
            ({"blocks": (1,) * 5}, "blocks: 5 grids do not fit 8 pixels"),
        ):
            with pytest.raises(ValueError, match=message):
                ConditionalDecoder(**{**SMALL, **arguments})
        for lr, found in ((None, "none"), (drawn(1, 4, 3, 4, 4), "4 frames")):
            with pytest.raises(ValueError, match=f"needs an LR clip of 5 frames with these latents, not {found}"):
                self.decoder(drawn(1, 2, 16, 2, 2), lr)
        with pytest.raises(ValueError, match="lr: ConditionalDecoder sees the LR clip; give the one that was encoded"):
            student(self.decoder).decode(drawn(1, 2, 16, 2, 2))
        with pytest.raises(NotImplementedError, match="ConditionalDecoder cannot be pruned"):
            self.decoder.prunable()
        assert set(student(self.decoder).prunable().parts) == {"denoiser"}
