"""Which parameters receive gradients in which phase."""

import pytest
import torch
from adc_tiny import TinyDiscriminator
from training import Adam, Watch, decoding, distillation, regression, train

from adc.data.sources import Real
from adc.stages import Example
from adc.training import Role


def routes(stage, updates=2):
    """Train, and collect for each phase which tensors' gradients each of its backward passes changed."""
    seen = {phase: [] for phase in stage.phases()}
    current = []
    run, backward = stage._run, stage.manual_backward

    def gradients():
        return {name: None if p.grad is None else p.grad.clone() for name, p in stage.named_parameters()}

    def watched_run(name, *rest, **options):
        current[:] = [name]
        run(name, *rest, **options)

    def watched_backward(loss):
        before = gradients()
        backward(loss)
        changed = {
            name
            for name, gradient in gradients().items()
            if gradient is not None and (before[name] is None or not torch.equal(gradient, before[name]))
        }
        seen[current[0]].append(changed)

    stage._run, stage.manual_backward = watched_run, watched_backward
    train(stage, updates)
    assert all(seen.values())
    return seen


def names(stage, *parts):
    return {name for name, _ in stage.named_parameters() if name.startswith(parts)}


@pytest.mark.parametrize(
    "cycle",
    [
        [["student", "discriminators"]],
        [["discriminators", "student"]],
        [["discriminators"], ["discriminators"], ["student"]],
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_distillation_routes_gradients_to_the_role_of_the_phase_and_nowhere_else(cycle, accumulate):
    stage = distillation(critics=("feature", "pixel"), cycle=cycle, accumulate=accumulate)
    for role, seen in routes(stage).items():
        for changed in seen:
            assert changed == names(stage, f"{role}.")


def test_decoder_pretraining_routes_gradients_to_the_decoder_and_then_to_the_discriminator():
    stage = decoding()
    seen = routes(stage)
    for changed in seen["decoder"]:
        assert changed == names(stage, "student.decoder.")
    for changed in seen["discriminator"]:
        assert changed == names(stage, "discriminator.")


def test_frozen_parts_of_a_decoder_get_no_gradients():
    stage = decoding(frozen=["stem"])
    for changed in routes(stage)["decoder"]:
        assert changed == names(stage, "student.decoder.") - names(stage, "student.decoder.stem.")


def test_regression_routes_gradients_to_what_is_not_frozen():
    stage = regression(frozen=["decoder"])
    for changed in routes(stage)["network"]:
        assert changed == names(stage, "network.body", "network.guess")


@pytest.mark.parametrize("make", [distillation, decoding, regression])
def test_what_no_role_trains_keeps_its_weights(make):
    stage = make()
    before = {name: p.detach().clone() for name, p in stage.named_parameters()}
    train(stage, 2)
    for name, parameter in stage.named_parameters():
        trained = any(parameter is p for role in stage.roles for p in stage.parameters_of(role))
        assert parameter.requires_grad == trained, name
        assert trained or torch.equal(parameter, before[name]), name
    for role in stage.roles:
        moved = [name for name in names(stage, "") if not torch.equal(stage.get_parameter(name), before[name])]
        assert any(stage.get_parameter(name) is p for name in moved for p in stage.parameters_of(role))


def table(student, real, **more):
    """Examples of two heads, each row a pair of labels."""
    rows = {"student": (student, None), "real": (real, Real()), **{kind: (row, Real()) for kind, row in more.items()}}
    return {
        kind: Example(dict(zip(("detail", "consistency"), row, strict=True)), source)
        for kind, (row, source) in rows.items()
    }


def two_heads(**options):
    stage = distillation(critics=())
    torch.manual_seed(3)
    critic = TinyDiscriminator("feature", 4, heads=("detail", "consistency"))
    return type(stage)(
        student=stage.student,
        losses=list(stage.losses),
        roles={"student": Role(Adam), "discriminators": Role(Adam)},
        teacher=stage.teacher,
        space=stage.space,
        discriminators=[critic],
        **options,
    )


def test_label_zero_is_no_term_and_no_gradient():
    with_rest = two_heads(examples=table((-1, -1), (1, 1), still=(0, 0), video=(0, 1), slideshow=(1, 0)))
    batch = {"lr": torch.rand(2, 1, 3, 16, 16), "hr": torch.rand(2, 1, 3, 64, 64)}
    with_rest.active_phases = ("discriminators",)
    losses = with_rest.discriminators_loss(with_rest.prepare(batch))
    kinds = {"student": 2, "real": 2, "video": 1, "slideshow": 1}
    assert {kind: sum(name.endswith(f"_{kind}") for name in losses) for kind in kinds} == kinds
    assert len(losses) == sum(kinds.values())
    assert {"feature_consistency_video", "feature_detail_slideshow"} <= set(losses)

    losses["feature_consistency_video"].backward()
    judges = with_rest.discriminators[0].judges
    assert judges["consistency"].weight.grad.any()
    assert judges["detail"].weight.grad is None


def test_a_head_whose_labels_are_zero_for_a_kind_learns_nothing_of_it():
    """Adding a kind that a head does not judge leaves that head's gradient as it was, to the bit."""
    found = []
    for examples in (table((-1, -1), (1, 1)), table((-1, -1), (1, 1), still=(0, -1))):
        stage = two_heads(examples=examples)
        taken = []
        watch = Watch(lambda s, role, t=taken: t.append(s.discriminators[0].judges["detail"].weight.grad))
        train(stage, 1, "discriminators", callbacks=[watch])
        found.append([gradient.clone() for gradient in taken if gradient is not None][-1])
    assert torch.equal(*found)


@pytest.mark.parametrize("cycle", [[["student", "discriminators"]], [["discriminators", "student"]]])
def test_both_phases_share_one_forward_of_each_network(cycle):
    stage = distillation(critics=("feature", "pixel"), cycle=cycle)
    calls = dict.fromkeys(("encode", "decode", "features", "embed"), 0)

    def count(owner, name):
        method = getattr(owner, name)

        def counted(*args):
            calls[name] += 1
            return method(*args)

        object.__setattr__(owner, name, counted)

    count(stage.student, "encode")
    count(stage.student, "decode")
    count(stage.teacher, "features")
    count(stage.space, "embed")
    train(stage, 3)
    assert calls == dict.fromkeys(calls, 3)


def test_the_teacher_makes_pixels_only_for_a_loss_of_pixels():
    stage = distillation()
    stage.teacher.restore = lambda lr: pytest.fail("the teacher's decoder ran")
    train(stage, 1)


def test_discriminators_see_the_student_of_before_its_update():
    """Either order of the phases gives the discriminators the same first update."""
    results = []
    for cycle in ([["student", "discriminators"]], [["discriminators", "student"]]):
        stage = distillation(cycle=cycle)
        train(stage, 1, "discriminators")
        results.append(torch.cat([p.detach().flatten() for p in stage.discriminators.parameters()]))
    assert torch.equal(*results)
