import pytest
import torch
from adc_tiny import (
    Bicubic,
    TinyAutoencoder,
    TinyCandidates,
    TinyCausalAutoencoder,
    TinyConditioner,
    TinyDenoiser,
    TinyDiscriminator,
    TinyScoreDiscriminator,
    TinyScorer,
    TinySpace,
    TinyStudent,
    TinyTeacher,
)
from twins import assert_close, assert_same_weights

from adc import testing
from adc.interfaces import Student
from adc.ops.clip import upsample_bicubic
from adc.pruning import Prefix, load_student, prune, save_student


def test_teachers_keep_their_contract():
    testing.check_teacher(Bicubic())
    testing.check_teacher(Bicubic(scale=2))
    testing.check_teacher(TinyTeacher(), TinySpace(), TinyStudent())


def test_student_keeps_its_contract():
    testing.check_student(TinyStudent(), TinySpace(), TinyAutoencoder())
    testing.check_student(TinyStudent(width=4, channels=6, depth=0), TinySpace(channels=6), TinyAutoencoder())


def test_latents_keep_their_contract():
    testing.check_autoencoder(TinyAutoencoder())
    testing.check_autoencoder(TinyCausalAutoencoder())
    testing.check_feature_space(TinySpace(), TinyAutoencoder())


@pytest.mark.parametrize(("domain", "channels"), [("feature", 8), ("pixel", 3)])
def test_discriminator_keeps_its_contract(domain, channels):
    testing.check_discriminator(TinyDiscriminator(domain, channels, heads=["detail", "consistency"]))


def test_diffusion_and_scorer_keep_their_contracts():
    testing.check_denoiser(TinyDenoiser(), TinyConditioner(), taps=(0, 1))
    testing.check_conditioner(TinyConditioner())
    testing.check_scorer(TinyScorer())


def test_codec_projects_onto_its_frequencies():
    autoencoder = TinyAutoencoder()
    pixels = upsample_bicubic(torch.rand(1, 2, 3, 8, 6) * 2 - 1, 4)
    once = autoencoder.decode(autoencoder.encode(pixels))
    torch.testing.assert_close(autoencoder.decode(autoencoder.encode(once)), once)
    assert (once - pixels).abs().mean() < 0.1
    flat = torch.full((1, 1, 3, 8, 8), 0.5)
    torch.testing.assert_close(autoencoder.encode(flat)[:, :, :3], flat[..., :2, :2])


def test_frozen_networks_are_the_same_whatever_the_seed():
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append([*TinyTeacher().parameters(), *TinySpace().parameters()])
    for a, b in zip(*states, strict=True):
        assert torch.equal(a, b)


def test_a_space_takes_the_decoder_of_a_student():
    student = TinyStudent(channels=6)
    torch.nn.init.normal_(student.decoder.stem.weight)
    space = TinySpace(student)
    assert torch.equal(space.stem.weight, student.decoder.stem.weight)
    assert space.stem.weight is not student.decoder.stem.weight


def test_a_space_refuses_another_kind_of_student():
    class Other(Student):
        decoder = torch.nn.Identity()

        def encode(self, lr):
            return lr

        def decode(self, feature):
            return feature

    with pytest.raises(ValueError, match="Other has no TinyDecoder"):
        TinySpace(Other())


def test_the_student_learns_what_it_is_taught():
    torch.manual_seed(0)
    student, teacher = TinyStudent(), TinyTeacher()
    lr = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    target = teacher(lr).detach()
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (student(lr) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_pruned_student_keeps_its_contract_and_comes_back_from_its_folder(tmp_path):
    student = TinyStudent(width=16, channels=8, depth=2)
    before = sum(parameter.numel() for parameter in student.parameters())
    prune(student, {"body": 0.5, "decoder": 0.25}, Prefix())
    assert sum(parameter.numel() for parameter in student.parameters()) < 0.6 * before
    assert student.encode(torch.zeros(1, 1, 3, 16, 16)).shape[2] == 6
    testing.check_student(student, TinySpace(student), TinyAutoencoder())
    save_student(student, tmp_path)
    again = load_student(str(tmp_path))
    lr = torch.rand(1, 1, 3, 16, 16)
    assert_same_weights(again, student)
    assert_close(again(lr), student(lr))
    testing.check_student(again, TinySpace(again), TinyAutoencoder())


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (81, 21)])
def test_a_causal_autoencoder_has_a_latent_of_the_first_frame_and_one_of_every_four_after_it(frames, latents):
    autoencoder, clip = TinyCausalAutoencoder(), torch.full((1, frames, 3, 8, 8), 0.5)
    assert autoencoder.latent_frames(frames) == latents == autoencoder.encode(clip).shape[1]
    assert torch.allclose(autoencoder.decode(autoencoder.encode(clip)), clip, atol=1e-6)


def test_the_first_latent_of_a_causal_autoencoder_is_of_the_first_frame_alone():
    clip = torch.rand(1, 5, 3, 8, 8)
    first = TinyCausalAutoencoder().encode(clip)[:, :1]
    assert torch.equal(first, TinyCausalAutoencoder().encode(clip[:, :1]))


@pytest.mark.parametrize(("frames", "legal"), [(4, "1 or 5"), (6, "5 or 9"), (0, "1 or 5")])
def test_a_length_that_does_not_fit_is_refused(frames, legal):
    message = rf"frames: TinyCausalAutoencoder takes 1 \+ 4 n frames, not {frames}; cut or pad the clip to {legal}\."
    with pytest.raises(ValueError, match=message):
        TinyCausalAutoencoder().encode(torch.zeros(1, frames, 3, 8, 8))


def test_a_head_on_two_score_networks_of_different_width():
    testing.check_score_discriminator(TinyScoreDiscriminator())
    testing.check_score_discriminator(TinyScoreDiscriminator({"real": 5, "fake": 12}, taps=2, heads=["a", "b"]))


def test_one_restorer_gives_as_many_candidates_as_are_drawn():
    restorer, lr = TinyCandidates(), torch.rand(1, 1, 3, 16, 16) * 2 - 1
    testing.check_teacher(restorer)
    candidates = [restorer.restore(lr, torch.Generator().manual_seed(seed)) for seed in (0, 1, 2, 0)]
    assert torch.equal(candidates[0], candidates[3])
    assert all((candidates[0] - other).abs().mean() > 0.01 for other in (*candidates[1:3], restorer.restore(lr)))
