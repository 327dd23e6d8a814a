"""The SD-shaped networks at small widths, and the small ones that ship with adc."""

import pytest
import torch
from adc_sd21 import (
    AdcSRStudent,
    DecoderStem,
    LatentSpace,
    OSEDiff,
    PatchDiscriminator,
    PiSASR,
    SDAutoencoder,
    UNetDiscriminator,
)
from adc_sd21.inherit import after
from twins import assert_close, assert_same_weights

from adc.data import DegradedClips
from adc.degradation import BicubicDown
from adc.metrics import psnr_y
from adc.ops.clip import upsample_bicubic
from adc.ops.diffusion import scaled_linear_alphas
from adc.pruning import Magnitude, Prefix, load_student, prune, save_student
from adc.testing import check_autoencoder, check_discriminator, check_feature_space, check_student, check_teacher

VAE = {"block_out_channels": [8, 16, 16], "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 4}
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
}
BOTH = {"vae": VAE, "unet": UNET}


@pytest.fixture(scope="module", params=[None, 4], ids=["plain", "shortcut"])
def vae(request):
    return VAE if request.param is None else {**VAE, "shortcut": request.param}


def teacher(vae):
    torch.manual_seed(0)
    made = OSEDiff(vae=vae, unet=UNET, timestep=399, prompt_tokens=2)
    torch.nn.init.normal_(made.unet.conv_out.weight, std=0.1)
    return made.eval()


def student(vae):
    torch.manual_seed(1)
    return AdcSRStudent(vae=vae, unet=UNET, unshuffle=1).eval()


def test_contracts(vae):
    autoencoder = SDAutoencoder(config=vae)
    whole = student(vae)
    space = DecoderStem(whole, autoencoder)
    check_autoencoder(autoencoder)
    check_teacher(teacher(vae), space, whole)
    check_student(whole, space, autoencoder)
    check_feature_space(space, autoencoder)
    check_feature_space(LatentSpace(autoencoder))
    check_discriminator(PatchDiscriminator(width=8, layers=2))


def test_a_silent_unet_leaves_the_latent_of_the_codec(vae):
    made = OSEDiff(vae=vae, unet=UNET, timestep=399, prompt_tokens=2).eval()
    lr = torch.rand(1, 1, 3, 16, 16) * 2 - 1
    from adc.ops.clip import upsample_bicubic

    expected = made.autoencoder.encode(upsample_bicubic(lr, 4))
    torch.testing.assert_close(made.latent(lr), expected, atol=1e-5, rtol=1e-5)


def test_one_step_is_the_closed_form(vae):
    made = teacher(vae)
    lr = torch.rand(1, 1, 3, 16, 16) * 2 - 1
    from adc.ops.clip import upsample_bicubic

    z = made.encoder(upsample_bicubic(lr, 4)[:, 0]) * made.autoencoder.config["scaling_factor"]
    noise = made.unet(z, 399, made.prompt).sample
    alpha = scaled_linear_alphas()[399]
    torch.testing.assert_close(made.latent(lr)[:, 0], (z - (1 - alpha).sqrt() * noise) / alpha.sqrt())


@pytest.mark.parametrize("kind", [OSEDiff, PiSASR])
def test_a_frozen_network_has_a_precision_of_its_own(kind):
    torch.manual_seed(0)
    made = kind(vae=VAE, unet=UNET, prompt_tokens=2).eval()
    torch.nn.init.normal_(made.unet.conv_out.weight, std=0.1)
    lr = torch.rand(1, 1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        exact = made.latent(lr)
        with torch.autocast("cpu", torch.bfloat16):
            follows = made.latent(lr)
            errors = {}
            for made.precision in ("float32", "float16", "bfloat16"):
                errors[made.precision] = (made.latent(lr) - exact).norm() / exact.norm()
    assert errors["float32"] == 0
    assert 0 < errors["float16"] < errors["bfloat16"] / 3
    assert errors["bfloat16"] == (follows - exact).norm() / exact.norm()
    assert kind(vae=VAE, unet=UNET, prompt_tokens=2, precision="float16").precision == "float16"


def test_folders_come_back(vae, tmp_path):
    made = teacher(vae)
    made.save_pretrained(str(tmp_path), torch.float32)
    again = OSEDiff(str(tmp_path)).eval()
    lr = torch.rand(1, 1, 3, 19, 30) * 2 - 1
    assert_same_weights(again, made)
    assert_close(again.restore(lr), made.restore(lr))
    assert again.restore(lr).shape == (1, 1, 3, 76, 120)


def test_a_folder_that_does_not_fit_is_named(tmp_path):
    teacher(VAE).save_pretrained(str(tmp_path))
    config = tmp_path / "vae" / "config.json"
    config.write_text(config.read_text().replace('"latent_channels": 4', '"latent_channels": 8'))
    with pytest.raises(ValueError, match=r"vae does not fit .*: .*quant_conv"):
        SDAutoencoder(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no/such: no such folder"):
        SDAutoencoder("no/such")
    with pytest.raises(ValueError, match="unknown network option 'widths'"):
        SDAutoencoder(config={"widths": [1]})


def test_the_student_inherits_by_name_and_tiles_both_ends(vae, tmp_path):
    made = teacher(vae)
    made.save_pretrained(str(tmp_path), torch.float32)
    heir = AdcSRStudent(str(tmp_path), unshuffle=1)
    own, old = heir.unet.state_dict(), made.unet.state_dict()
    assert torch.equal(own["down_blocks.0.resnets.0.conv1.weight"], old["down_blocks.0.resnets.0.conv1.weight"])
    if "shortcut" not in vae:
        assert torch.equal(own["conv_out.weight"][:4], own["conv_out.weight"][4:8])
        assert torch.equal(own["conv_in.weight"], old["conv_in.weight"][:, :3])
    assert not any("attn2" in name or "time" in name for name in own)
    assert torch.equal(
        heir.mid_block.resnets[0].conv1.weight, made.autoencoder.vae.decoder.mid_block.resnets[0].conv1.weight
    )


def test_a_student_with_a_shortcut_starts_as_the_linear_way_through_its_teacher(tmp_path):
    """Encoder: its shortcut alone. UNet: without prompt. The rest, to the decoder's middle block, is exact."""
    vae = {**VAE, "shortcut": 4, "block_out_channels": [8, 16, 16, 16], "norm_num_groups": None, "scaling_factor": 0.5}
    made = OSEDiff(vae=vae, unet={**UNET, "norm_num_groups": None}, timestep=399, prompt_tokens=2).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    for block in made.unet.modules():
        if type(block).__name__ == "BasicTransformerBlock":
            torch.nn.init.zeros_(block.attn2.to_out[0].weight)
            torch.nn.init.zeros_(block.attn2.to_out[0].bias)
    made.save_pretrained(str(tmp_path), torch.float32)
    heir = AdcSRStudent(str(tmp_path)).eval()
    lr = torch.rand(1, 3, 24, 24) * 2 - 1
    z = made.encoder.coarse_in(torch.nn.functional.interpolate(lr, scale_factor=4)) * 0.5
    alpha = scaled_linear_alphas()[399]
    clean = (z - (1 - alpha).sqrt() * made.unet(z, 399, made.prompt).sample) / alpha.sqrt()
    expected = made.autoencoder.vae.decoder.conv_in(made.autoencoder.vae.post_quant_conv(clean / 0.5))
    inner = (..., slice(5, -5), slice(5, -5))
    heir_in, teacher_in = heir.unet.conv_in(heir.unshuffle(lr)), made.unet.conv_in(z)
    torch.testing.assert_close(heir_in[..., 1:-1, 1:-1], teacher_in[..., 1:-1, 1:-1])
    torch.testing.assert_close(heir.before_middle(lr)[inner], expected[inner], atol=1e-3, rtol=1e-2)
    with pytest.raises(ValueError, match="unshuffle: 1 and a decoder of stride 8 enlarge by 8, not by 4; set it to 2"):
        AdcSRStudent(str(tmp_path), unshuffle=1)


def test_two_convolutions_in_a_row_are_one():
    first, second = torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.Conv2d(5, 4, 3, padding=1)
    weight, bias = after((first.weight, first.bias), (second.weight, second.bias))
    x = torch.rand(1, 3, 12, 12)
    both = torch.nn.functional.conv2d(x, weight, bias, padding=2)
    torch.testing.assert_close(both[..., 2:-2, 2:-2], second(first(x))[..., 2:-2, 2:-2])


def test_without_norms_nothing_forgets_the_contrast():
    """Every branch is silent at the start, so networks are the sum of their linear ways, and no norm is left."""
    plain = {**VAE, "norm_num_groups": None}
    autoencoder = SDAutoencoder(config=plain)
    whole = AdcSRStudent(vae=plain, unet={**UNET, "norm_num_groups": None}, unshuffle=1)
    for network in (autoencoder, whole, OSEDiff(vae=plain, unet={**UNET, "norm_num_groups": None}, prompt_tokens=2)):
        assert not any(isinstance(module, torch.nn.GroupNorm) for module in network.modules())
        assert all(not m.conv2.weight.any() for m in network.modules() if type(m).__name__ == "ResnetBlock2D")
    prune(whole, {"unet": 0.25, "decoder": 0.5}, Magnitude())
    assert whole.eval().restore(torch.rand(1, 1, 3, 16, 16)).shape == (1, 1, 3, 64, 64)


@pytest.mark.parametrize("importance", [Prefix(), Magnitude()], ids=["prefix", "magnitude"])
def test_pruned_students_come_back_and_fit_their_space(vae, importance, tmp_path):
    small = student(vae)
    prune(small, {"unet": 0.25, "decoder": 0.5}, importance)
    save_student(small, tmp_path)
    again = load_student(str(tmp_path)).eval()
    lr = torch.rand(1, 1, 3, 22, 17) * 2 - 1
    assert_same_weights(again, small)
    assert_close(again.restore(lr), small.restore(lr))
    assert small.restore(lr).shape == (1, 1, 3, 88, 68)
    clip = torch.rand(1, 1, 3, 16, 16)
    features = teacher(vae).features(clip, DecoderStem(again, SDAutoencoder(config=vae)))
    assert features.shape == again.encode(clip).shape
    assert features.shape[2] == 8


def test_the_unet_discriminator_trains_lora_and_its_first_convolution():
    critic = UNetDiscriminator(channels=8, unet={**UNET, "in_channels": 4, "out_channels": 4})
    trained = {name for name, parameter in critic.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "conv_in" in name for name in trained)
    assert any("conv_in" in name and "lora_" not in name for name in trained)
    assert any("attn2" in name for name in trained)
    assert not any("time_emb" in name for name in trained)
    view = torch.rand(2, 1, 8, 8, 8)
    assert critic(view)["realism"].shape == (2, 1, 4, 8, 8)


def test_the_shipped_teacher_is_found_by_name():
    made = OSEDiff("demo").eval()
    assert made.timestep == 399
    lr = torch.rand(1, 1, 3, 16, 16) * 2 - 1
    with torch.inference_mode():
        assert made(lr).shape == (1, 1, 3, 64, 64)


def test_every_part_of_the_shipped_teacher_restores():
    teacher, answers = OSEDiff("demo").eval(), []
    validation = DegradedClips(BicubicDown(noise_sigma=(15, 30)), 1, size=128, workers=0, validation_size=256)
    validation.setup("validate")
    photos = list(validation.val_dataloader())

    def fidelity(restore):
        with torch.inference_mode():
            return torch.cat([psnr_y(restore(photo["lr"]), photo["hr"]) for photo in photos]).mean()

    def constant(module, inputs, answer):
        answers.append(answer)
        return answer.mean((2, 3), keepdim=True).expand_as(answer)

    restored = fidelity(teacher)
    teacher.unet.conv_out.register_forward_hook(constant)
    assert restored > fidelity(teacher) + 0.5, "the UNet's answer differs from place to place for a reason"
    assert all(answer.std((2, 3)).mean() > 0.03 for answer in answers)
    assert restored > fidelity(lambda lr: upsample_bicubic(lr, 4)) + 1.0


def test_the_student_adopts_its_pretrained_decoders_middle_block():
    whole = student(VAE)
    torch.nn.init.normal_(whole.decoder.mid_block.resnets[0].conv1.weight)
    clip = torch.rand(1, 1, 3, 16, 16)
    before = whole.encode(clip)
    whole.sync_from_decoder()
    assert torch.equal(whole.mid_block.resnets[0].conv1.weight, whole.decoder.mid_block.resnets[0].conv1.weight)
    assert not torch.equal(whole.encode(clip), before)
