"""The folded transformer is the one that it was made of, at the time and with the text that were folded."""

import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser
from adc_wan import FoldedWan, OneStepVideo, WanAutoencoder, WanConditioner, WanDenoiser, fold, folded_student
from test_wan import TINY, TINY_VAE, count

from adc.pruning import Magnitude, load_student, prune, save_student
from adc.testing import check_student
from adc.training import enable_gradient_checkpointing


def student(text="sharp"):
    conditioner = WanConditioner(WanAutoencoder(config=TINY_VAE), text=text, length=32, width=16)
    return OneStepVideo(WanDenoiser(config=TINY), conditioner).eval()


def clip():
    return torch.rand(2, 5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("text", ["sharp", ""])
def test_folding_changes_nothing(text):
    whole = student(text)
    folded = fold(whole)
    with torch.no_grad():
        latents, expected = folded.encode(clip()), whole.encode(clip())
    assert (latents - expected).abs().max() < 1e-5 * expected.std()
    assert folded.denoiser.init_args["rows"] == (5 if text else 2)  # words, and one row of zeros
    z_t, condition = torch.randn(1, 1, 16, 4, 4), {"lr": torch.randn(1, 1, 16, 4, 4)}
    text_rows = {"text": whole.conditioner.rows_of(text)[None]}
    with torch.no_grad():
        _, taps = whole.denoiser(z_t, torch.ones(1), {**condition, **text_rows}, taps=(0, 3), stop_early=True)
        _, found = folded.denoiser(z_t, torch.ones(1), condition, taps=(0, 3), stop_early=True)
    for one, other in zip(found, taps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_rows_of_zeros_count(monkeypatch):
    """Without the logarithm of their number, 28 rows of zeros would weigh as one."""
    whole = student()
    folded = fold(whole)
    folded.denoiser.log_counts.zero_()
    with torch.no_grad():
        assert (folded.encode(clip()) - whole.encode(clip())).abs().max() > 1e-3


def test_sizes():
    with torch.device("meta"):
        folded = count(FoldedWan({}, rows=2))
    assert folded == 1_419_095_104 - 167_270_400 + 30 * 2 * 2 * 1536


def test_a_folder_of_it(tmp_path):
    save_student(student(), tmp_path / "whole")
    folded = folded_student(str(tmp_path / "whole"))
    save_student(folded, tmp_path / "folded")
    again = load_student(str(tmp_path / "folded"))
    with torch.no_grad():
        torch.testing.assert_close(again.restore(clip()), folded.restore(clip()))
    check_student(again)


def test_it_trains_on():
    folded = fold(student())
    enable_gradient_checkpointing(folded.denoiser)
    folded.encode(clip()).square().mean().backward()
    assert all(parameter.grad is not None for parameter in folded.denoiser.parameters())


def test_feed_forward_layers_and_heads_are_cut_and_the_residual_stream_stays(tmp_path):
    folded = fold(student())
    before = {name: tuple(p.shape) for name, p in folded.denoiser.named_parameters()}
    cut = prune(folded, {"denoiser": 0.5}, Magnitude())
    assert cut["denoiser"].changed == 4 * (2 + 4 + 4)
    changed = {name for name, p in folded.denoiser.named_parameters() if tuple(p.shape) != before[name]}
    inner = (".to_q.", ".to_k.", ".to_v.", ".norm_q.", ".norm_k.", ".keys.", ".values.", ".net.0.proj.")
    written = (".to_out.0.weight", ".net.2.weight")
    assert changed == {name for name in before if name.endswith(written) or any(part in name for part in inner)}
    for block in folded.denoiser.blocks:
        assert (block.heads, block.attn1.heads, block.attn1.inner_dim) == (1, 1, 12)
        assert block.ffn.net[0].proj.out_features == 16
    save_student(folded, tmp_path)
    again = load_student(str(tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(again.restore(clip()), folded.restore(clip()), atol=1e-4, rtol=0)
    optimizer = torch.optim.SGD(again.denoiser.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        loss = again.encode(clip()).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[0]


@torch.no_grad()
def test_heads_go_whole_and_norms_are_put_right():
    folded = fold(student())
    attention, tokens = folded.denoiser.blocks[0].attn1, torch.randn(1, 512, 24)
    for layer in (attention.to_q, attention.to_k, attention.to_v):
        layer.weight[12:] *= 3  # a strong head, which stays
    strong = attention.to_v.weight[12:].clone()
    before = attention.norm_q(attention.to_q(tokens))[..., 12:]
    weight = attention.norm_q.weight[12:].clone()
    prune(folded, {"denoiser": 0.5}, Magnitude())
    assert torch.equal(attention.to_v.weight, strong)
    assert attention.norm_q.weight.mean() > 1.2 * weight.mean()
    found = attention.norm_q(attention.to_q(tokens))
    assert (found - before).std() < 0.1 * before.std()
    attention.norm_q.weight.copy_(weight)
    assert (attention.norm_q(attention.to_q(tokens)) - before).std() > 0.2 * before.std()


@torch.no_grad()
def test_a_ratio_that_cuts_no_head_changes_nothing():
    folded = fold(student())
    before = folded.encode(clip())
    prune(folded, {"denoiser": 0.0}, Magnitude())
    assert torch.equal(folded.encode(clip()), before)
    norm = folded.denoiser.blocks[0].norm_q.weight.clone()
    prune(folded, {"denoiser": 0.01}, Magnitude())  # of 24 channels 23 would stay, and so one head of 12
    assert folded.denoiser.blocks[0].heads == 1 and not torch.equal(folded.denoiser.blocks[0].norm_q.weight, norm[:12])


def test_what_cannot_be_folded():
    other = OneStepVideo(TinyDenoiser(), TinyConditioner())
    with pytest.raises(ValueError, match="student: TinyDenoiser with a TinyConditioner; only a WanDenoiser"):
        fold(other)
