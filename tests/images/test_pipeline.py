"""`ImageGenerator` against a denoiser whose samples are known, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.cli.samplers import SAMPLERS, make
from polyscore.denoisers import Prediction
from polyscore.errors import CheckpointError, InputError, PolyscoreError
from polyscore.hub import save
from polyscore.images import ImageGenerator
from polyscore.processes import Cosine
from polyscore.state import Given

CENTRES = torch.tensor([-0.4, 0.0, 0.2, -0.1])  # of three classes, then of no class
DISCRETISED = ("euler", "midpoint", "reverse-diffusion", "pc")  # of the ODE or SDE in t: their last step is not exact in x0


class Points(nn.Module):
    """All data of class k are the constant image CENTRES[k]: E[x0 | x, k] is known whatever x is."""

    def __init__(self) -> None:
        super().__init__()
        self.process = Cosine(alpha_min=0.03)
        self.centres = nn.Parameter(CENTRES.clone())

    def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(self.centres[given.cond].view(-1, 1, 1, 1).expand_as(x).to(x))


@pytest.fixture
def generator() -> ImageGenerator:
    return ImageGenerator(Points(), (1, 2, 3), classes=3)


def distance(generator: ImageGenerator, name: str, steps: int) -> float:
    """How far from the guided class's image a sampler ends."""
    scale, labels = 1.7, torch.tensor([0, 1, 2, 3])
    x = generator.sample(labels, steps=steps, sampler=make(name), guidance=scale, seed=5)
    guided = CENTRES[3] + scale * (CENTRES[labels] - CENTRES[3])
    return float((x - ((guided + 1) / 2).view(-1, 1, 1, 1)).abs().max())


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in DISCRETISED])
def test_a_sampler_ends_on_the_guided_class_in_any_number_of_steps(generator: ImageGenerator, name: str) -> None:
    assert max(distance(generator, name, steps) for steps in (1, 2, 3, 5, 10)) < 1e-3


@pytest.mark.parametrize("name", DISCRETISED)
def test_the_others_come_nearer_with_every_step(generator: ImageGenerator, name: str) -> None:
    errors = [distance(generator, name, steps) for steps in (10, 40, 160)]
    assert errors[0] < 0.5
    assert errors[1] < errors[0] / 1.8
    assert errors[2] < errors[1] / 1.8


def test_an_image_depends_on_its_label_and_seed_alone() -> None:
    class Blurred(Points):
        """Element-wise, and it keeps some of x, so that noise shows in the result."""

        def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
            return Prediction(0.5 * super().forward(x, t, given).x0 + 0.3 * torch.tanh(x))

    generator = ImageGenerator(Blurred(), (1, 4, 4), classes=3)
    labels = [i % 3 for i in range(64)]
    for name in ("dpmpp-2m", "ddpm", "edm-churn"):
        whole = generator.sample(labels, sampler=make(name), seed=100)
        for size in (1, 7):
            for start in (0, 7, 35):
                rows = slice(start, start + size)
                part = generator.sample(labels[rows], sampler=make(name), seed=100 + start)
                assert torch.equal(part, whole[rows])
        scattered = generator.sample([labels[i] for i in (40, 3)], sampler=make(name), seed=[140, 103])
        assert torch.equal(scattered, whole[[40, 3]])


def test_no_guidance_asks_the_model_once_and_guidance_one_batch_of_two(generator: ImageGenerator) -> None:
    rows: list[int] = []
    generator.denoiser.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    generator.sample([0, 1, 2], steps=10, guidance=1.0)
    assert rows == [3] * 10
    rows.clear()
    generator.sample([0, 1, 2], steps=10, guidance=2.0)
    assert rows == [6] * 10


def test_a_number_of_images_is_drawn_from_no_class(generator: ImageGenerator) -> None:
    assert torch.allclose(generator.sample(5), ((CENTRES[3] + 1) / 2).expand(5, 1, 2, 3), atol=1e-4)


def test_the_global_generator_is_left_alone(generator: ImageGenerator) -> None:
    before = torch.random.get_rng_state()
    generator.sample([0], sampler=make("ddpm"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([4], r"labels: 4, expected 0 to 2 \(3 for no class\)"),
        ([0, -1], "labels: -1"),
        ([0.5], r"torch.float32 \(1,\), expected one whole number"),
        ([], "expected one whole number"),
        ([[0]], r"\(1, 1\), expected one whole number"),
        (0, "0 images, expected 1 or more"),
    ],
)
def test_labels_it_refuses(generator: ImageGenerator, labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        generator.sample(labels)


def test_what_else_it_refuses(generator: ImageGenerator) -> None:
    for guidance in (math.nan, math.inf):
        with pytest.raises(InputError, match="guidance: .*, expected a finite number"):
            generator.sample([0], guidance=guidance)
    with pytest.raises(InputError, match="1 seeds for a batch of 2"):
        generator.sample([0, 1], seed=[3])
    with pytest.raises(InputError, match="this model has no classes"):
        ImageGenerator(Points(), (1, 2, 3)).sample([0])
    with pytest.raises(InputError, match="expected \\(C, H, W\\)"):
        ImageGenerator(Points(), (2, 3))
    nn.init.constant_(generator.denoiser.centres, math.nan)  # type: ignore[arg-type]
    with pytest.raises(PolyscoreError, match="values that are not numbers"):
        generator.sample([0])


def test_a_saved_model_of_another_kind(tmp_path: Any) -> None:
    from polyscore.images import UNet

    save(tmp_path / "net", UNet(1, 8))
    with pytest.raises(CheckpointError, match="is a UNet, expected an ImageGenerator"):
        ImageGenerator.from_pretrained(tmp_path / "net")


def test_a_model_in_half_precision_is_read_in_single(tmp_path: Any) -> None:
    model = ImageGenerator.from_pretrained("digits")
    save(tmp_path / "half", model.half())
    found = ImageGenerator.from_pretrained(tmp_path / "half")
    for name, value in model.state_dict().items():
        read = found.state_dict()[name]
        assert torch.equal(read, value.to(read.dtype)), name
        assert read.dtype != torch.float16, name
