"""The critic of clips, on each of its backbones."""

import pytest
import torch
from adc_sd21 import AdcSRStudent, SDAutoencoder
from adc_tiny import TinyStudent
from adc_video import (
    AdcVSRStudent,
    AutoencoderBackbone,
    ClipDiscriminator,
    ConvNeXtBackbone,
    PlainBackbone,
    StudentUNetBackbone,
)
from adc_video.convnext import STATISTICS
from safetensors.torch import save_file

from adc.testing import check_discriminator
from adc.training.memory import enable_gradient_checkpointing

VAE = {"block_out_channels": [8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
}
HEADS = {"detail": 6, "consistency": 3}


def student(kind=AdcVSRStudent):
    torch.manual_seed(0)
    made = kind(vae=VAE, unet=UNET, unshuffle=1)
    for block in made.temporal.blocks.values() if kind is AdcVSRStudent else ():
        torch.nn.init.normal_(block.second.weight, std=0.1)
    return made


def codec_backbone():
    torch.manual_seed(0)
    return AutoencoderBackbone(SDAutoencoder(config=VAE), level=1)


BACKBONES = {
    "codec": codec_backbone,
    "demo": lambda: AutoencoderBackbone(SDAutoencoder("demo"), level=0),
    "convnext": lambda: ConvNeXtBackbone(size="tiny", stage=1),
    "plain": lambda: PlainBackbone(16),
    "video student": lambda: StudentUNetBackbone(student()),
    "image student": lambda: StudentUNetBackbone(student(AdcSRStudent)),
}


@pytest.fixture(params=BACKBONES)
def backbone(request):
    return BACKBONES[request.param]()


def clip(backbone, frames=3, side=32, seed=1):
    channels = 3 if backbone.domain == "pixel" else 16
    return torch.rand(2, frames, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_contract(backbone):
    critic = ClipDiscriminator(backbone, HEADS)
    check_discriminator(critic, size=32)
    assert (critic.domain, critic.heads) == (backbone.domain, ("detail", "consistency"))


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_one_logit_for_each_position_of_the_features(backbone, frames):
    view = clip(backbone, frames)[..., :-3]
    features = backbone(view)
    logits = ClipDiscriminator(backbone, HEADS)(view)
    assert features.shape[:3] == (2, frames, backbone.channels)
    assert {head: tuple(found.shape) for head, found in logits.items()} == dict.fromkeys(
        HEADS, (2, frames, 1, *features.shape[-2:])
    )


def test_what_is_frozen_stays_so(backbone):
    critic = ClipDiscriminator(backbone, HEADS).train()
    assert critic.training and not any(module.training for module in backbone.modules())
    trained = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    own = {"unet.conv_in.weight", "unet.conv_in.bias"} if isinstance(backbone, StudentUNetBackbone) else set()
    assert trained == own
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([parameter for parameter in critic.parameters() if parameter.requires_grad], lr=1.0)
    sum(logits.square().mean() for logits in critic(clip(backbone)).values()).backward()
    optimizer.step()
    changed = {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == own
    outside = [parameter for name, parameter in critic.named_parameters() if not name.startswith("backbone.")]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in outside)


def test_the_published_widths():
    critic = ClipDiscriminator(codec_backbone())
    assert {head: judge.in_channels for head, judge in critic.judges.items()} == {"detail": 192, "consistency": 64}
    assert [conv.out_channels for conv in (*critic.space, *critic.time)] == [256] * 4


def test_each_head_has_channels_of_its_own():
    critic = ClipDiscriminator(codec_backbone(), HEADS)
    view = clip(critic.backbone)
    with torch.no_grad():
        before = critic(view)
        critic.time[-1].weight[: HEADS["detail"]] += 1
        after = critic(view)
    assert not torch.equal(before["detail"], after["detail"])
    assert torch.equal(before["consistency"], after["consistency"])


def test_frames_are_seen_together():
    """Each convolution over frames looks one frame ahead and back; of seven frames the middle one changes."""
    critic = ClipDiscriminator(codec_backbone(), HEADS, layers=2)
    one, other = clip(critic.backbone, 7), clip(critic.backbone, 7)
    other[:, 3] = -other[:, 3]
    with torch.no_grad():
        moved = (critic(one)["consistency"] - critic(other)["consistency"]).abs().amax((0, 2, 3, 4))
    assert moved.bool().tolist() == [1 <= frame <= 5 for frame in range(7)]


def test_the_students_unet_sees_repeated_clips_as_the_small_clip():
    """Features that repeat what the UNet was trained on, as often as there are, say the same to it."""
    made = student().eval()
    small = torch.rand(1, 3, 3, 16, 16) * 2 - 1
    after = made.temporal.over(3)
    expected = made.before_middle(small[0], after)
    repeated = torch.cat([small] * 6, dim=2)[:, :, :16]
    backbone = StudentUNetBackbone(made)
    times = torch.tensor([6 if index == 0 else 5 for index in range(3)]).view(1, 1, 3, 1, 1)
    scaled = repeated * (16 / 3 / times.repeat(1, 1, 6, 1, 1)[:, :, :16])
    torch.testing.assert_close(backbone(scaled)[0], expected, atol=1e-4, rtol=1e-3)


def test_the_students_unet_takes_its_temporal_blocks_along():
    backbone = StudentUNetBackbone(student())
    one, other = clip(backbone), clip(backbone)
    other[:, 2] = -other[:, 2]
    with torch.no_grad():
        assert not torch.allclose(backbone(one)[:, 0], backbone(other)[:, 0], atol=1e-4)
    with pytest.raises(ValueError, match="student: TinyStudent has no UNet"):
        StudentUNetBackbone(TinyStudent())


def test_gain_multiplies_what_the_students_unet_returns():
    plain, louder = StudentUNetBackbone(student()), StudentUNetBackbone(student(), gain=30.0)
    louder.load_state_dict(plain.state_dict())
    shown = clip(plain)
    with torch.no_grad():
        assert torch.equal(louder(shown), plain(shown) * 30)


def test_recomputing_changes_no_gradient():
    for make in (BACKBONES["convnext"], BACKBONES["video student"]):
        torch.manual_seed(0)
        critic = ClipDiscriminator(make(), HEADS)
        view = clip(critic.backbone).requires_grad_()
        (plain,) = torch.autograd.grad(critic(view)["detail"].mean(), view)
        enable_gradient_checkpointing(critic)
        (again,) = torch.autograd.grad(critic(view)["detail"].mean(), view)
        torch.testing.assert_close(again, plain)


@pytest.mark.parametrize("level", [-1, 3])
def test_a_level_that_is_not_there(level):
    with pytest.raises(ValueError, match=f"level: {level}, but the encoder has levels 0 to 2"):
        AutoencoderBackbone(SDAutoencoder(config=VAE), level=level)


@pytest.mark.parametrize(("changes", "message"), [({"heads": {}}, "heads: {}"), ({"layers": 0}, "layers: 0")])
def test_what_is_no_discriminator(changes, message):
    with pytest.raises(ValueError, match=message):
        ClipDiscriminator(codec_backbone(), **changes)


@pytest.fixture(scope="module")
def torchvision_weights():
    from torchvision.models import convnext_tiny

    torch.manual_seed(3)
    network = convnext_tiny(weights=None).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("layer_scale"):
            torch.nn.init.normal_(parameter)
    return network


def normalized(pixels, statistics):
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in STATISTICS[statistics])
    return ((pixels + 1) / 2 - mean) / deviation


def test_torchvisions_weights(torchvision_weights, tmp_path):
    file = tmp_path / "convnext_tiny.pth"
    torch.save(torchvision_weights.state_dict(), file)
    backbone = ConvNeXtBackbone(str(file), "tiny", stage=2, statistics="imagenet")
    pixels = torch.rand(2, 2, 3, 40, 36) * 2 - 1
    expected = torchvision_weights.features[:6](normalized(pixels, "imagenet").flatten(0, 1))
    torch.testing.assert_close(backbone(pixels).flatten(0, 1), expected)
    assert backbone.channels == expected.shape[1] == 384
    with pytest.raises(ValueError, match=r"does not fit.*5\.9\.layer_scale is missing"):
        ConvNeXtBackbone(str(file), "base", stage=2)
    with pytest.raises(ValueError, match="stage: 4; ConvNeXt has stages 0 to 3"):
        ConvNeXtBackbone(stage=4)


@pytest.mark.parametrize("prefix", ["", "visual.trunk.", "module.visual.trunk."], ids=["timm", "openclip", "training"])
def test_weights_in_timms_names(prefix, tmp_path):
    """The trunk of OpenCLIP's ConvNeXt is timm's."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(4)
    network = timm.create_model("convnext_tiny", features_only=False, num_classes=0).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.normal_(parameter)
    held = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    held["logit_scale"] = torch.ones(())
    file = tmp_path / ("model.pt" if prefix.startswith("module") else "model.safetensors")
    if prefix.startswith("module"):
        torch.save({"epoch": 3, "state_dict": held}, file)
    else:
        save_file(held, file)
    pixels = torch.rand(1, 2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        shown = normalized(pixels, "clip").flatten(0, 1)
        for stage in (0, 3):
            expected = network.stem(shown)
            for index in range(stage + 1):
                expected = network.stages[index](expected)
            found = ConvNeXtBackbone(str(file), "tiny", stage)(pixels).flatten(0, 1)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_features_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="channels: 8, but the features have 16; set it to that"):
        ClipDiscriminator(PlainBackbone(8), HEADS)(clip(PlainBackbone(16)))
