import pytest
import torch

from adc.ops.statistics import bootstrap_interval, frechet_distance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equal_values_are_sure():
    assert bootstrap_interval(torch.full((7,), 2.5)) == (2.5, 2.5)


def test_of_many_values_the_interval_is_that_of_the_normal_distribution():
    values = normal(400) * 3 + 10
    low, high = bootstrap_interval(values, 0.95)
    half = 1.96 * values.std().item() / 20
    assert low == pytest.approx(values.mean().item() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean().item() + half, abs=0.06 * half)


def test_a_higher_level_is_wider_and_draws_are_repeated():
    values = normal(30)
    low, high = bootstrap_interval(values, 0.5)
    lower, higher = bootstrap_interval(values, 0.99)
    assert lower < low < high < higher
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_two_values_have_a_closed_form():
    """The mean of two draws of 0 and 1 is 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4."""
    assert bootstrap_interval(torch.tensor([0.0, 1.0]), 0.4) == (0.5, 0.5)
    assert bootstrap_interval(torch.tensor([0.0, 1.0]), 0.6) == (0.0, 1.0)


@pytest.mark.parametrize(("values", "level"), [([], 0.95), ([1.0], 0.0), ([1.0], 1.0)])
def test_what_has_no_interval(values, level):
    with pytest.raises(ValueError, match=r"at least one value|between 0 and 1"):
        bootstrap_interval(torch.tensor(values), level)


def test_equal_sets_are_not_apart():
    assert frechet_distance(normal(20, 50), normal(20, 50)) == pytest.approx(0, abs=1e-9)


def test_a_shifted_set_is_as_far_as_the_shift():
    values, shift = normal(20, 6), torch.arange(6.0)
    assert frechet_distance(values, values + shift) == pytest.approx(shift.square().sum().item())


def test_a_stretched_set():
    """C_b = 9 C_a: tr(C_a) + 9 tr(C_a) - 2 * 3 tr(C_a) = 4 tr(C_a)."""
    values = normal(40, 6)
    values = values - values.mean(dim=0)
    assert frechet_distance(values, 3 * values) == pytest.approx(4 * values.T.cov().diagonal().sum().item())


def test_the_same_as_with_the_root_of_the_product():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = (
        normal(200, 8),
        normal(150, 8, seed=1) @ torch.randn(8, 8, generator=torch.Generator().manual_seed(2)).double(),
    )
    root = linalg.sqrtm((a.T.cov() @ b.T.cov()).numpy()).real.trace()
    apart = (a.mean(0) - b.mean(0)).square().sum() + a.T.cov().trace() + b.T.cov().trace() - 2 * root
    assert frechet_distance(a, b) == pytest.approx(apart.item(), rel=1e-9)


def test_one_sample_is_no_distribution():
    with pytest.raises(ValueError, match="at least 2 samples each; got 1 and 5"):
        frechet_distance(normal(1, 3), normal(5, 3))


def test_many_samples_of_few_dimensions():
    """The root of the product of both covariances, as it is computed elsewhere, and no matrix of all samples."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(20000, 3, generator=generator).double()
    b = (
        torch.randn(15000, 3, generator=generator).double()
        @ torch.tensor([[2.0, 0.3, 0], [0, 1, 0], [0, 0, 0.5]]).double()
        + 1
    )
    roots = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).real.sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)
