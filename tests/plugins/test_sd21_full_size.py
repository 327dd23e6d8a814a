"""The published sizes, on the meta device: shapes without numbers."""

import json
import os
from pathlib import Path

import pytest
import torch
from adc_sd21 import AdcSRStudent, OSEDiff, UNetDiscriminator, networks, published

from adc.metrics.efficiency import count
from adc.pruning import Prefix, prune
from adc.pruning.structure import record, replay

SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[3] / "shared"))


def elements(module, trainable=False):
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def groups(network):
    return {name: m.num_groups for name, m in network.named_modules() if isinstance(m, torch.nn.GroupNorm)}


@pytest.fixture(scope="module")
def student():
    with torch.device("meta"):
        return AdcSRStudent(vae=published.STUDENT_VAE, unet=published.STUDENT_UNET)


def test_the_student_has_the_published_size(student):
    assert elements(student.unet) == 443_695_696
    assert elements(student.unet) + elements(student.mid_block) == 446_321_744
    assert elements(student.decoder) == 12_387_459
    cost = count(student, torch.empty(1, 1, 3, 128, 128, device="meta"))
    assert cost.parameters == 456_073_683
    assert cost.macs - cost.attention_macs == pytest.approx(495.0e9, rel=1e-3)
    assert cost.attention_macs == 54_525_427_712


def test_the_student_has_the_published_tensors(student):
    file = SHARED / "reference/adcsr_student_keys.json"
    if not file.is_file():
        pytest.skip("the list of published tensors is not here")
    theirs = {name: tuple(shape) for name, shape in json.loads(file.read_text()).items() if ".1.body." not in name}
    names = {"unet.": "module.body.1.", "mid_block.": "module.body.2."}
    ours = {
        theirs_prefix + name.removeprefix(prefix): tuple(tensor.shape)
        for prefix, theirs_prefix in names.items()
        for name, tensor in student.state_dict().items()
        if name.startswith(prefix)
    }
    assert ours == theirs


def test_the_discriminator_trains_what_the_published_one_trains():
    with torch.device("meta"):
        critic = UNetDiscriminator(channels=256)
    assert elements(critic, trainable=True) == 4_802_384
    adapted = [name for name, _ in critic.unet.named_modules() if name.endswith(".lora_A.default")]
    parts = ("down_blocks", "conv_in", "up_blocks", "conv_out", "mid_block")
    sizes = {part: sum(name.startswith(part) for name in adapted) for part in parts}
    assert sizes == {"down_blocks": 93, "conv_in": 1, "up_blocks": 147, "conv_out": 1, "mid_block": 16}


def test_the_teacher_has_the_published_size():
    with torch.device("meta"):
        assert elements(networks.unet(networks.SD_UNET)) == 865_910_724
        assert elements(networks.vae_decoder(networks.SD_VAE)) == 49_490_179


@pytest.mark.slow
def test_pruning_by_prefix_gives_the_published_shapes_and_replays(student):
    with torch.device("meta"):
        full, again = AdcSRStudent(), AdcSRStudent()
        fresh = AdcSRStudent()
    prune(full, {"unet": 0.25, "decoder": 0.5}, Prefix())
    shapes = {name: tensor.shape for name, tensor in student.state_dict().items()}
    assert {name: tensor.shape for name, tensor in full.state_dict().items()} == shapes
    replay(again, record(full, fresh))
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    for module in (full, again):
        groups = {name: m.num_groups for name, m in module.named_modules() if isinstance(m, torch.nn.GroupNorm)}
        assert groups == {
            name: m.num_groups for name, m in student.named_modules() if isinstance(m, torch.nn.GroupNorm)
        }
    cost = count(full, torch.empty(1, 1, 3, 128, 128, device="meta"))
    assert cost.parameters == 456_073_683


def test_a_teacher_without_weights_restores_any_size_on_meta():
    with torch.device("meta"):
        teacher = OSEDiff()
        assert teacher.restore(torch.empty(1, 1, 3, 33, 50)).shape == (1, 1, 3, 132, 200)
