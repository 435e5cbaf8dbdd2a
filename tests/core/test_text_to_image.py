"""A pipeline of diffusers as a judge of pictures: tiny, random, nothing downloaded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.distillation import rules
from polyscore.errors import CheckpointError, InputError, MissingExtraError
from polyscore.interchange.diffusers import TextToImage
from polyscore.noise import Recorded
from polyscore.state import Given

pytestmark = pytest.mark.filterwarnings("ignore")
diffusers: Any = importlib.import_module("diffusers")


def networks() -> tuple[Any, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            layers_per_block=1,
            cross_attention_dim=6,
            attention_head_dim=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
            sample_size=16,
        )
    return unet, vae


class Pipeline(SimpleNamespace):
    """A latent pipeline whose texts mean their length."""

    def encode_prompt(self, prompt: list[str], **options: Any) -> tuple[Tensor, None]:
        assert options["do_classifier_free_guidance"] is False
        return torch.tensor([[[float(len(text))] * 6] * 3 for text in prompt]), None


@pytest.fixture(scope="module")
def judge() -> TextToImage:
    unet, vae = networks()
    return TextToImage(Pipeline(unet=unet, vae=vae, scheduler=diffusers.PNDMScheduler(beta_schedule="scaled_linear")))


def test_states_are_the_scaled_means_of_the_autoencoder(judge: TextToImage) -> None:
    assert judge.size == 16
    picture = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = judge.states(picture)
    expected = judge.pipeline.vae.encode(2 * picture - 1).latent_dist.mean * judge.pipeline.vae.config.scaling_factor
    assert torch.allclose(found, expected, atol=1e-6)
    (slope,) = torch.autograd.grad(found.square().sum(), picture)
    assert float(slope.abs().max()) > 0
    flat = torch.full((1, 3, 40, 40), 0.3)
    assert torch.allclose(judge.states(flat), judge.states(flat[..., :16, :16]), atol=1e-5)  # resized
    pixels = TextToImage(Pipeline(unet=judge.pipeline.unet, vae=None, scheduler=judge.pipeline.scheduler))
    assert pixels.size == 8
    assert torch.allclose(pixels.states(flat), torch.full((1, 3, 8, 8), -0.4))
    with pytest.raises(InputError, match=r"pictures \(3, 16, 16\); expected \(B, 3, H, W\)"):
        judge.states(torch.zeros(3, 16, 16))


def test_the_gradient_is_that_of_the_networks_own_eps(judge: TextToImage) -> None:
    """SDS by hand, with the scheduler's table and the network called directly."""
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    n = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    index, scale = 399, 7.5
    told, null = judge.told(["a", "abc"]), judge.told(["", ""])
    result = rules.sds(scale)(
        z, {"cond": told, "null": null}, denoiser=judge.denoiser, process=judge.process, noise=Recorded([n]), t=torch.tensor(0.4)
    )
    ac = judge.pipeline.scheduler.alphas_cumprod[index]
    x = ac.sqrt() * z + (1 - ac).sqrt() * n
    with torch.no_grad():
        ey, e0 = (judge.pipeline.unet(x, index, **cond).sample for cond in (told, null))
    assert torch.allclose(result.gradient, (1 - ac) * (e0 + scale * (ey - e0) - n), atol=2e-4)


def test_what_cannot_judge_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: TextToImage) -> None:
    with pytest.raises(InputError, match="Pipeline: it has no unet; expected a pipeline like Stable Diffusion 1 or 2"):
        TextToImage(Pipeline(scheduler=judge.pipeline.scheduler))
    with pytest.raises(InputError, match="its network also asks for 'text_time'"):
        TextToImage(
            Pipeline(unet=SimpleNamespace(config=SimpleNamespace(addition_embed_type="text_time")), scheduler=object())
        )
    with pytest.raises(CheckpointError, match=r"no model_index\.json; expected the folder of a diffusers pipeline"):
        TextToImage.from_folder(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')

    def lacking(*_: Any, **__: Any) -> Any:
        raise ImportError("StableDiffusionPipeline requires the transformers library but it was not found\nmore")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", lacking)
    with pytest.raises(MissingExtraError, match="requires the transformers library .* pip install both"):
        TextToImage.from_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match="pip install diffusers transformers"):
        TextToImage.from_folder(tmp_path)


def test_a_folder_of_stable_diffusion(tmp_path: Path) -> None:
    """A real pipeline, saved and read; the text encoder is a tiny CLIP."""
    transformers: Any = pytest.importorskip("transformers")
    unet, vae = networks()
    alphabet = "abcdefghijklmnopqrstuvwxyz,"
    letters = [*alphabet, *(f"{c}</w>" for c in alphabet), "<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(str({c: i for i, c in enumerate(letters)}).replace("'", '"'))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=12)
    config = transformers.CLIPTextConfig(
        vocab_size=len(letters), hidden_size=6, intermediate_size=12, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=12, bos_token_id=len(letters) - 2, eos_token_id=len(letters) - 1, pad_token_id=len(letters) - 1,
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        vae, transformers.CLIPTextModel(config).eval(), tokenizer, unet, diffusers.DDIMScheduler(), None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "model")
    read = TextToImage.from_folder(tmp_path / "model")
    told = read.told(["a red lion", "a cat"])["encoder_hidden_states"]
    assert told.shape == (2, 12, 6)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = read.denoiser(x, 0.5, Given(cond={"encoder_hidden_states": told})).x0
    expected = TextToImage(pipeline).denoiser(x, 0.5, Given(cond={"encoder_hidden_states": told})).x0
    assert torch.allclose(found, expected, atol=1e-6)
