"""What teachers and discriminators are told in words."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from adc_sd21 import AdcSRStudent, DecoderStem, OSEDiff, SDAutoencoder, TextPrompt, UNetDiscriminator
from adc_sd21.text import ClipText, name_of
from PIL import Image

from adc.data import DegradedClips, Real
from adc.degradation import BicubicDown
from adc.losses import L1
from adc.stages import AdversarialDistillation, Example
from adc.training import Role

TOOLS = Path(__file__).parents[2] / "tools"
WIDTH = 8
VAE = {"block_out_channels": [8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [16, 32], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4}
UNET["cross_attention_dim"] = WIDTH


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tokenizer of single letters and a text encoder of two layers, laid out as Stable Diffusion's."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    home = tmp_path_factory.mktemp("sd21")
    letters = [*"abcdefghijklmnopqrstuvwxyz,", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz,")]
    words = {word: number for number, word in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (home / "vocab.json").write_text(json.dumps(words))
    (home / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(home / "vocab.json"), str(home / "merges.txt"), model_max_length=77)
    tokenizer.save_pretrained(home / "tokenizer")
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=words["<|startoftext|>"],
        eos_token_id=words["<|endoftext|>"],
        pad_token_id=words["<|endoftext|>"],
    )
    CLIPTextModel(config).save_pretrained(home / "text_encoder")
    return str(home)


def batch(*texts):
    lr = torch.rand(len(texts), 1, 3, 16, 16) * 2 - 1
    return {"lr": lr, "hr": torch.rand(len(texts), 1, 3, 64, 64) * 2 - 1, "name": list(texts), "text": list(texts)}


def test_every_clip_has_its_own_prompt_and_long_ones_are_cut(encoder):
    prompt = TextPrompt(encoder)
    long = "a, " * 100
    made = prompt(batch("a cat", "", long, long + "b"))
    assert made.shape == (4, 77, WIDTH)
    assert not torch.allclose(made[0], made[1])
    assert torch.equal(made[2], made[3])
    torch.testing.assert_close(made[0], ClipText(encoder)(["a cat"])[0])
    assert not any(parameter.requires_grad for parameter in prompt.parameters())


def test_one_text_for_all(encoder):
    fixed = TextPrompt(encoder, text="")(batch("a", "b"))
    assert torch.equal(fixed[0], fixed[1])
    torch.testing.assert_close(fixed[0], ClipText(encoder)([""])[0])
    with pytest.raises(ValueError, match="the data has no captions; set captions: true"):
        TextPrompt(encoder)({"lr": torch.zeros(1, 1, 3, 16, 16)})
    with pytest.raises(ValueError, match="name the folder of a text encoder, a cache of embeddings, or both"):
        TextPrompt()


def test_a_cache_takes_the_place_of_the_encoder(encoder, tmp_path):
    from adc.media.images import write_image

    for name in ("a cat", "a dog"):
        write_image(tmp_path / "photos" / f"{name}.png", torch.zeros(8, 8, 3, dtype=torch.uint8).numpy())
        (tmp_path / "photos" / f"{name}.txt").write_text(name)
    command = [sys.executable, str(TOOLS / "embed_prompts.py"), encoder, str(tmp_path / "cache")]
    done = subprocess.run([*command, "--captions", str(tmp_path / "photos")], capture_output=True, text=True)
    assert done.returncode == 0 and "3 texts, 3 of them new" in done.stdout, done.stderr
    assert (tmp_path / "cache" / name_of("")).is_file()
    cached, live = TextPrompt(cache=str(tmp_path / "cache")), TextPrompt(encoder)
    torch.testing.assert_close(cached(batch("a cat", "a dog")), live(batch("a cat", "a dog")), atol=1e-6, rtol=1e-5)
    with pytest.raises(FileNotFoundError, match=r"no such embedding, of the text 'a bird'; make it with"):
        cached(batch("a bird"))


def test_tags_of_the_degraded_photos_by_name(encoder, tmp_path):
    """From photos to prompts: small photos are written, somebody tags them, tags are embedded and found by name."""
    photos, tags = tmp_path / "photos", tmp_path / "tags.jsonl"
    (photos / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        pixels = np.random.default_rng(0).integers(0, 256, (72, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{name}.png")
    command = [sys.executable, TOOLS / "write_lr.py", photos, tmp_path / "lr", "--size", "64"]
    subprocess.run(command, check=True, capture_output=True)
    small = {path.relative_to(tmp_path / "lr").as_posix() for path in (tmp_path / "lr").rglob("*.png")}
    assert small == {"a.png", "deep/b.png"}
    assert Image.open(tmp_path / "lr" / "a.png").size == (16, 16)

    lines = [{"name": "a", "text": "cat"}, {"name": "deep/b", "text": "dog, grass"}]
    tags.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    command = [sys.executable, TOOLS / "embed_prompts.py", encoder, tmp_path / "prompts", "--tags", tags]
    subprocess.run(command, check=True, capture_output=True)
    prompt = TextPrompt(cache=str(tmp_path / "prompts"), tags=str(tags))
    data = DegradedClips(BicubicDown(), 2, train_dir=str(photos), size=64, workers=0)
    data.setup("fit")
    found = next(iter(data.train_dataloader()))
    expected = ClipText(encoder)([{"a": "cat", "deep/b": "dog, grass"}[name] for name in found["name"]])
    torch.testing.assert_close(prompt(found), expected)

    with pytest.raises(ValueError, match=r"tags\.jsonl: no line has the name 'c'; add its tags"):
        prompt(batch("c"))
    with pytest.raises(ValueError, match="tags and one text for all clips; set text: null"):
        TextPrompt(encoder, text="", tags=str(tags))
    for line, message in (('{"name": "c"}', "line 3 is no object"), (json.dumps(lines[0]), "line 3: the name 'a' was")):
        tags.write_text("\n".join([*(json.dumps(line) for line in lines), line]))
        with pytest.raises(ValueError, match=f"tags.jsonl: {message}"):
            TextPrompt(encoder, tags=str(tags))
    with pytest.raises(FileNotFoundError):
        TextPrompt(encoder, tags=str(tmp_path / "none"))


def stage(encoder, text=None):
    torch.manual_seed(0)
    student = AdcSRStudent(vae=VAE, unet=UNET, unshuffle=1)
    teacher = OSEDiff(vae=VAE, unet=UNET, prompt_tokens=2)
    torch.nn.init.normal_(teacher.unet.conv_out.weight, std=0.1)
    optimizer = lambda parameters: torch.optim.Adam(parameters)  # noqa: E731
    made = AdversarialDistillation(
        student=student,
        losses=[L1(domain="feature", against="teacher")],
        roles={"student": Role(optimizer), "discriminators": Role(optimizer)},
        teacher=teacher,
        space=DecoderStem(student, SDAutoencoder(config=VAE)),
        prompt=None if encoder is None else TextPrompt(encoder, text=text),
        discriminators=[UNetDiscriminator(channels=16, unet=UNET, lora_rank=2)],
        examples={"student": Example({"realism": -1}), "real": Example({"realism": 1}, Real())},
    )
    made.setup("fit")
    return made


def terms(stage, *texts):
    torch.manual_seed(1)
    views = stage.prepare(batch(*texts))
    student, critic = stage.student_loss(views), stage.discriminators_loss(views)
    return {**student, **critic}


def test_the_stage_tells_the_teacher_and_the_discriminator(encoder):
    told = stage(encoder)
    torch.nn.init.normal_(told.discriminators[0].unet.conv_out.lora_B.default.weight, std=0.5)
    a, b = terms(told, "a cat", "a dog"), terms(told, "a cow", "a dog")
    assert set(a) == set(b)
    for name in a:
        assert not torch.equal(a[name], b[name]), name
    assert "prompt" in told.excluded_from_checkpoint


def test_a_prompt_that_nobody_takes_is_refused(encoder):
    with pytest.raises(ValueError, match="prompt: the teacher takes none and there is no discriminator"):
        AdversarialDistillation(
            student=AdcSRStudent(vae=VAE, unet=UNET, unshuffle=1),
            losses=[L1(domain="pixel", against="real")],
            roles={"student": Role(lambda parameters: torch.optim.Adam(parameters))},
            prompt=TextPrompt(encoder),
        )


def test_features_of_another_width_are_named(encoder):
    critic = UNetDiscriminator(channels=12, unet=UNET, lora_rank=2)
    with pytest.raises(ValueError, match="channels: 12, but the features have 16; set it to that"):
        critic(torch.zeros(1, 1, 16, 8, 8))


def test_recomputing_activations_changes_no_gradient():
    plain, recomputed = stage(None), stage(None)
    from adc.training import enable_gradient_checkpointing

    enable_gradient_checkpointing(recomputed.student, *recomputed.discriminators)
    assert recomputed.student.unet.checkpoint_activations and recomputed.discriminators[0].checkpoint_activations
    gradients = []
    for made in (plain, recomputed):
        made.train()
        made.active_phases = ("student", "discriminators")
        sum(terms(made, "a", "b").values()).backward()
        gradients.append({name: p.grad for name, p in made.named_parameters() if p.grad is not None})
    assert set(gradients[0]) == set(gradients[1]) and len(gradients[0]) > 50
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)
    with pytest.raises(ValueError, match="gradient_checkpointing: nothing in Linear can recompute"):
        enable_gradient_checkpointing(torch.nn.Linear(1, 1))
