import pytest
import torch
from adc_tiny import TinyStudent
from torch import nn

from adc.pruning import Magnitude, Prefix, Taylor, prune
from adc.pruning.groups import Group, Side


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, 1, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(4)]


def test_prefix():
    assert Prefix().score(Group(4, [])).argsort(descending=True).tolist() == [0, 1, 2, 3]
    assert not Prefix().aligned and Prefix(aligned=True).aligned


def test_magnitude_is_the_norm_over_all_that_goes_with_a_unit():
    first, last = nn.Linear(2, 4), nn.Conv1d(3, 2, 1)
    nn.init.constant_(first.weight, 1.0)
    nn.init.constant_(last.weight, 2.0)
    sides = [
        Side(first, True, torch.tensor([0, 1, 0, 1])),
        Side(nn.LayerNorm(2), True, torch.arange(2)),
        Side(last, False, torch.tensor([-1, 0, 1])),
    ]
    last.weight.data[:, 2] = 3.0
    scores = Magnitude().score(Group(2, sides))
    torch.testing.assert_close(scores, torch.tensor([4 + 8.0, 4 + 18.0]).double().sqrt())


def test_taylor_ranks_by_what_the_output_depends_on(clips):
    student = TinyStudent(width=16)
    layer = student.body[0]
    layer.weight.data[::2] *= 100
    student.body[2].weight.data[:, ::2] *= 1e-5
    by_size, by_effect = TinyStudent(width=16), TinyStudent(width=16)
    by_size.load_state_dict(student.state_dict())
    by_effect.load_state_dict(student.state_dict())
    prune(by_size, {"body": 0.5}, Magnitude())
    prune(by_effect, {"body": 0.5}, Taylor(), clips)
    assert torch.equal(by_size.body[0].weight, layer.weight[::2])
    assert torch.equal(by_effect.body[0].weight, layer.weight[1::2])


def test_taylor_predicts_how_far_the_output_moves(clips):
    torch.manual_seed(0)
    student = TinyStudent(width=12, depth=1)
    layer, following = student.body[0], student.body[2]
    importance = Taylor(batches=4)
    importance.prepare(student, clips)
    scores = importance.score(Group(12, [Side(following, False, torch.arange(12))]))
    moved = []
    with torch.no_grad():
        before = [student(clip) for clip in clips]
        for channel in range(12):
            weight = following.weight[:, channel].clone()
            following.weight[:, channel] = 0
            moved.append(sum((student(clip) - old).norm() for clip, old in zip(clips, before, strict=True)))
            following.weight[:, channel] = weight
    together = torch.stack([scores.argsort().argsort().double(), torch.stack(moved).argsort().argsort().double()])
    assert torch.corrcoef(together)[0, 1] > 0.5
    assert layer.weight.grad is None


def test_taylor_leaves_the_student_alone(clips):
    student = TinyStudent().train()
    student.decoder.requires_grad_(False)
    next(student.body.parameters()).grad = torch.ones_like(next(student.body.parameters()))
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    Taylor(batches=2).prepare(student, clips)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
    assert student.training and not any(p.requires_grad for p in student.decoder.parameters())
    assert torch.equal(next(student.body.parameters()).grad, torch.ones_like(next(student.body.parameters())))
    assert all(p.grad is None for p in list(student.body.parameters())[1:])


def test_taylor_is_reproducible_and_bounded(clips):
    scores = []
    for _ in range(2):
        torch.manual_seed(0)
        student = TinyStudent()
        importance = Taylor(batches=2, seed=3)
        importance.prepare(student, iter(clips))
        scores.append(importance.score(Group(16, [Side(student.body[0], True, torch.arange(16))])))
    assert torch.equal(*scores) and (scores[0] > 0).all()

    def endless():
        while True:
            yield clips[0]

    Taylor(batches=1).prepare(TinyStudent(), endless())


def test_taylor_needs_data():
    with pytest.raises(ValueError, match="Taylor needs calibration data"):
        prune(TinyStudent(), {"body": 0.5}, Taylor())
    with pytest.raises(ValueError, match="batches must be at least 1"):
        Taylor(batches=0)
