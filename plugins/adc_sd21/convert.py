"""Published files to our folders: what ``tools/convert_*.py`` run.

Every function writes a whole folder or nothing: what it reads is checked first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adc.interfaces import LatentStudent
from adc.pruning import load_student, save_student
from adc.weights import read_checkpoint
from adc_sd21 import networks, published
from adc_sd21.autoencoder import KLAutoencoder
from adc_sd21.decoder import HalfDecoder
from adc_sd21.folder import WEIGHTS, load, read_config, read_weights, save, save_tensors
from adc_sd21.lora import factors, merge
from adc_sd21.one_step import RESTORER, write_settings
from adc_sd21.pisasr import PIXEL, SEMANTIC
from adc_sd21.student import AdcSRStudent
from adc_sd21.text import ClipText

Precision = Literal["float32", "float16", "bfloat16"]
TEXT = ("tokenizer", "text_encoder")


def sd21(source: str, out: str, precision: Precision = "float32") -> None:
    """Stable Diffusion 2.1, from a folder or a single file, as a folder with vae/ and unet/.

    Tokenizer and text encoder are copied from a folder; a single file has none in this layout.

    Args:
        source: A folder in diffusers' layout, or a .safetensors or .ckpt named as latent diffusion does.
        out: The folder to write.
        precision: Of the numbers written.
    """
    home = Path(source)
    if home.is_dir():
        vae_config = read_config(home / "vae", networks.SD_VAE)
        unet_config = read_config(home / "unet", networks.SD_UNET)
        vae, unet = _network_file(home / "vae"), _network_file(home / "unet")
    else:
        vae_config, unet_config = networks.SD_VAE, networks.SD_UNET
        vae, unet = _named(
            source, published.latent_diffusion, read_checkpoint(source, "source"), vae_config, unet_config
        )
    autoencoder = _autoencoder(published.current_names(vae), vae_config, source)
    network = _unet(unet, unet_config, source)
    number = getattr(torch, precision)
    save(autoencoder, vae_config, Path(out) / "vae", number)
    save(network, unet_config, Path(out) / "unet", number)
    for part in TEXT:
        if (home / part).is_dir():
            shutil.copytree(home / part, Path(out) / part, dirs_exist_ok=True)


def osediff(
    file: str, out: str, base: str | None = None, text: str | None = None, precision: Precision = "float32"
) -> None:
    """Either of the two files called osediff.pkl as a teacher's folder for `OSEDiff`.

    AdcSR's holds autoencoder and UNet with the adapters merged; OSEDiff's own holds the adapters
    alone, which are merged into Stable Diffusion here.

    Args:
        file: osediff.pkl.
        out: The folder to write.
        base: Stable Diffusion 2.1 in diffusers' layout; needed for OSEDiff's own file, and the source of
            the configurations if given.
        text: A folder with tokenizer/ and text_encoder/, to store the embedding of the empty prompt;
            without it recipes must name a prompt.
        precision: Of the numbers written.
    """
    held = read_checkpoint(file, "file")
    vae_config, unet_config = _configs(base)
    if published.is_merged(held):
        vae, unet = published.osediff_merged(held)
        autoencoder, network = _autoencoder(vae, vae_config, file), _unet(unet, unet_config, file)
    else:
        vae, unet = _named(file, published.osediff_lora, held)
        if base is None:
            raise ValueError(f"base: {file} holds adapters alone; name the folder of Stable Diffusion 2.1.")
        autoencoder = _autoencoder(published.current_names(read_weights(Path(base) / "vae")), vae_config, base)
        network = _unet(read_weights(Path(base) / "unet"), unet_config, base)
        _named(file, merge, autoencoder, vae)
        _named(file, merge, network, unet)
    _write_teacher(Path(out), autoencoder, vae_config, network, unet_config, 999, text, precision)


def pisasr(file: str, base: str, out: str, text: str | None = None, precision: Precision = "float32") -> None:
    """pisa_sr.pkl as a teacher's folder for `PiSASR`: Stable Diffusion's networks and both adapters beside them.

    Args:
        file: pisa_sr.pkl.
        base: Stable Diffusion 2.1 in diffusers' layout.
        out: The folder to write.
        text: A folder with tokenizer/ and text_encoder/, to store the embedding of the empty prompt.
        precision: Of the numbers written.
    """
    pixel, semantic = _named(file, published.pisasr_adapters, read_checkpoint(file, "file"))
    vae_config, unet_config = _configs(base)
    network = _unet(read_weights(Path(base) / "unet"), unet_config, base)
    for adapter in (pixel, semantic):
        for layer in _named(file, factors, adapter):
            if f"{layer}.weight" not in network.state_dict():
                raise ValueError(f"{file}: {layer}: the UNet of {base} has no such layer.")
    autoencoder = _autoencoder(published.current_names(read_weights(Path(base) / "vae")), vae_config, base)
    _write_teacher(Path(out), autoencoder, vae_config, network, unet_config, 1, text, precision)
    for name, adapter in ((PIXEL, pixel), (SEMANTIC, semantic)):
        save_tensors(adapter, Path(out) / RESTORER / name, getattr(torch, precision))


def adcsr(net: str, decoder: str, out: str, precision: Precision = "float32") -> None:
    """AdcSR's net_params_200.pkl and halfDecoder.ckpt as a student's folder.

    Args:
        net: net_params_200.pkl.
        decoder: halfDecoder.ckpt; its names may be diffusers' or latent diffusion's.
        out: The folder to write.
        precision: Of the numbers written.
    """
    half = _named(decoder, published.decoder_of, read_checkpoint(decoder, "decoder"))
    weights = _named(net, published.adcsr_student, read_checkpoint(net, "net"), half)
    save_student(adcsr_student(weights, net), out, precision)


def adcsr_student(weights: dict[str, Tensor], origin: str) -> AdcSRStudent:
    """The published student with weights by our names."""
    with torch.device("meta"):
        student = AdcSRStudent(vae=published.STUDENT_VAE, unet=published.STUDENT_UNET, color_matching="adain")
    load(student, weights, origin)
    return student


def decoder(file: str, student: str, out: str, precision: Precision = "float32") -> None:
    """A student's folder with another decoder in it, as if its decoder's stage had ended with that.

    Args:
        file: halfDecoder.ckpt, or another checkpoint or autoencoder with a decoder of the student's widths.
        student: The student's folder, for one what `adc prune` wrote.
        out: The folder to write.
        precision: Of the numbers written.
    """
    half = _named(file, published.decoder_of, read_checkpoint(file, "file"))
    made = load_student(student)
    if not isinstance(made, LatentStudent) or not isinstance(made.decoder, HalfDecoder):
        raise ValueError(f"student: {student}: {type(made).__name__} has no decoder of Stable Diffusion's kind.")
    load(made.decoder, half, file)
    made.sync_from_decoder()
    save_student(made, out, precision)


def _write_teacher(
    out: Path,
    autoencoder: nn.Module,
    vae_config: dict[str, Any],
    unet: nn.Module,
    unet_config: dict[str, Any],
    timestep: int,
    text: str | None,
    precision: Precision,
) -> None:
    number = getattr(torch, precision)
    restorer = nn.Module()
    restorer.unet = unet
    prompt = None
    if text is not None:
        with torch.no_grad():
            prompt = restorer.prompt = nn.Parameter(ClipText(text)([""]).float())
    save(autoencoder, vae_config, out / "vae", number)
    save(restorer, unet_config, out / RESTORER, number)
    write_settings(out / RESTORER, timestep, prompt, own_encoder=False)


def _configs(base: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    if base is None:
        return networks.SD_VAE, networks.SD_UNET
    return read_config(Path(base) / "vae", networks.SD_VAE), read_config(Path(base) / "unet", networks.SD_UNET)


def _autoencoder(weights: dict[str, Tensor], config: dict[str, Any], origin: str) -> nn.Module:
    with torch.device("meta"):
        network = KLAutoencoder(config)
    load(network, weights, origin)
    return network


def _unet(weights: dict[str, Tensor], config: dict[str, Any], origin: str) -> nn.Module:
    with torch.device("meta"):
        network = networks.unet(config)
    load(network, weights, origin)
    return network


def _network_file(folder: Path) -> dict[str, Tensor]:
    """The weights of a sub-folder of diffusers, whichever file of its it has."""
    for name in (WEIGHTS, "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"):
        if (folder / name).is_file():
            return read_checkpoint(folder / name, "source")
    raise FileNotFoundError(f"source: {folder / WEIGHTS}: no such file, nor one that ends in .bin.")


def _named(file: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call, and name the file in what goes wrong."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
