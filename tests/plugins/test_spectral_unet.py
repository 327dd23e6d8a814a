import torch
from adc_spandrel import SpectralUNetDiscriminator

from adc.testing import check_discriminator


def test_contract():
    torch.manual_seed(0)
    check_discriminator(SpectralUNetDiscriminator(width=4))
    check_discriminator(SpectralUNetDiscriminator(width=4, heads=["detail", "consistency"]), size=20)


def test_a_logit_for_each_pixel_of_any_size():
    logits = SpectralUNetDiscriminator(width=4)(torch.rand(2, 1, 3, 17, 21))
    assert logits["realism"].shape == (2, 1, 1, 17, 21)


def test_weights_are_bounded():
    torch.manual_seed(0)
    network = SpectralUNetDiscriminator(width=4)
    with torch.no_grad():
        for layer in (*network.down, *network.up, *network.mix):
            layer.parametrizations.weight.original.mul_(50)
        for _ in range(30):
            network(torch.rand(1, 1, 3, 16, 16))
    network.eval()
    for layer in (*network.down, *network.up, *network.mix):
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        torch.testing.assert_close(norm, torch.tensor(1.0), atol=0.05, rtol=0)
