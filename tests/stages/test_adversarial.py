import pytest
import torch
from adc_tiny import Bicubic, TinyDiscriminator, TinySpace, TinyStudent
from training import clip_pair, distillation

from adc.data.sources import Real
from adc.losses import L1, MSE
from adc.ops.gan import discriminator_loss, generator_loss
from adc.stages import AdversarialDistillation, Example
from adc.training import Role


def batch(count=2):
    items = [clip_pair(index) for index in range(count)]
    return {key: torch.stack([item[key] for item in items]) for key in ("lr", "hr")}


def prepared(stage):
    stage.active_phases = ("student", "discriminators")
    return stage.prepare(batch())


@pytest.mark.parametrize("form", ["non_saturating", "hinge"])
def test_the_losses_are_those_of_adcsr(form):
    """``|f_S - f_T| + w persuade(D(f_S))``, and ``margin(D(f_S), -1) + margin(D(f_GT), 1)`` (reference section 2.1)."""
    stage = distillation(losses=[L1("feature", "teacher", 0.5)], adversarial=form, adversarial_weight=0.25)
    views = prepared(stage)
    lr, hr = batch()["lr"], batch()["hr"]
    student, real = stage.student.encode(lr), stage.space.embed(hr)
    teacher = stage.space.project_latents(stage.teacher.latent(lr))
    critic = stage.discriminators[0]
    expected = {
        "L1_feature_teacher": 0.5 * (student - teacher).abs().mean(),
        "adv_feature_realism": 0.25 * generator_loss(critic(student)["realism"], form),
    }
    losses = stage.student_loss(views)
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-5
    )
    expected = {
        "feature_realism_student": discriminator_loss(critic(student)["realism"], -1, form),
        "feature_realism_real": discriminator_loss(critic(real)["realism"], 1, form),
    }
    losses = stage.discriminators_loss(views)
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-5
    )


def test_no_term_is_lost_when_two_have_one_name():
    stage = distillation(losses=[MSE(), MSE(weight=2.0)], critics=("feature", "feature"))
    views = prepared(stage)
    student = stage.student_loss(views)
    assert set(student) == {
        "MSE_pixel_real",
        "MSE_pixel_real_2",
        "adv_feature_realism",
        "adv_feature_realism_2",
    }
    assert student["MSE_pixel_real_2"].item() == pytest.approx(2 * student["MSE_pixel_real"].item())
    assert len(stage.discriminators_loss(views)) == 4


def test_discriminators_see_pixels_through_the_space_or_as_they_are():
    stage = distillation(critics=("feature", "pixel"))
    seen = []
    for critic in stage.discriminators:
        critic.register_forward_hook(lambda module, inputs, output: seen.append((module.domain, inputs[0])))
    stage.discriminators_loss(prepared(stage))
    hr = batch()["hr"]
    by_domain = {domain: [view for name, view in seen if name == domain] for domain in ("feature", "pixel")}
    assert torch.equal(by_domain["pixel"][1], hr)
    assert torch.equal(by_domain["feature"][1], stage.space.embed(hr))
    assert not any(view.requires_grad for _, view in seen)


def test_a_clip_of_a_source_is_made_once_for_all_domains():
    class Counted(Real):
        calls = 0

        def __call__(self, batch):
            self.calls += 1
            return super().__call__(batch)

    source = Counted()
    stage = distillation(critics=("feature", "pixel"))
    stage.examples["real"].source = source
    stage.discriminators_loss(prepared(stage))
    assert source.calls == 1


@pytest.mark.parametrize("weight", [0.25, {"feature": 1.0, "pixel": 0.1}])
def test_domains_may_weigh_differently(weight):
    stage = distillation(critics=("feature", "pixel"), adversarial_weight=weight)
    views = prepared(stage)
    losses = stage.student_loss(views)
    for critic in stage.discriminators:
        factor = weight[critic.domain] if isinstance(weight, dict) else weight
        expected = factor * generator_loss(critic(views.prediction(critic.domain))["realism"], "non_saturating")
        assert losses[f"adv_{critic.domain}_realism"].item() == pytest.approx(expected.item(), rel=1e-5)


def options(**changes):
    roles = {"student": Role(torch.optim.SGD), "discriminators": Role(torch.optim.SGD)}
    return {
        "student": TinyStudent(),
        "teacher": Bicubic(),
        "losses": [L1("feature", "teacher")],
        "roles": roles,
        "space": TinySpace(),
        "discriminators": [TinyDiscriminator()],
        "examples": {"student": Example({"realism": -1}), "real": Example({"realism": 1}, Real())},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": None}, "teacher: a loss is against the teacher"),
        ({"space": None}, "space: features are compared"),
        ({"examples": None}, "examples: head 'realism' needs a kind labelled 1 and one labelled -1"),
        ({"examples": {"student": Example({"realism": -1})}}, "head 'realism' needs a kind labelled 1"),
        ({"examples": {"real": Example({"realsm": 1})}}, "examples.real.labels: .*head 'real"),
        ({"discriminators": None, "examples": None}, "AdversarialDistillation trains student; found student, disc"),
        ({"roles": {"student": Role(torch.optim.SGD)}}, "trains discriminators, student; found student"),
        (
            {"adversarial_weight": {}},
            "adversarial_weight: has no number for 'feature'; the .* domains: feature",
        ),
        ({"adversarial_weight": {"feature": 1.0, "pixels": 0.1}}, "adversarial_weight: has a number for 'pixels'"),
        ({"discriminators": [TinyDiscriminator("score")]}, "discriminators: TinyDiscriminator has the domain score"),
        ({"cycle": [["student"], ["critics"]]}, "cycle: no phase 'critics'; .* has student, discriminators"),
        ({"cycle": [["student", "student"]]}, "cycle: 'student' comes twice on one batch"),
        ({"cycle": []}, r"cycle: \[\] has a batch without a phase"),
        ({"cycle": [["student"], []]}, "has a batch without a phase"),
        ({"accumulate": 0}, "accumulate: 0 batches; at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        AdversarialDistillation(**options(**changes)).check()


def test_without_discriminators_it_is_distillation_alone():
    stage = distillation(critics=())
    assert stage.cycle == [["student"]]
    assert set(stage.phases()) == {"student"}
