"""The engine that a text-to-image pipeline guides, on a pipeline whose wish is known in closed form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.interchange.diffusers import TextToImage
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.engines import Guided, OpaqueBody, Request, last
from polyscore.shapes.engines.guided import side
from polyscore.shapes.engines.opaque import hidden

diffusers: Any = pytest.importorskip("diffusers")
pytest.importorskip("scipy")
SIZE, EXTENT, RADIUS = 16, 1.3, 0.3


class Wish(nn.Module):
    """eps of data that are one picture: a ball of the text's colour on whatever ground there is; unsaid, the picture itself."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(sample_size=SIZE, addition_embed_type=None)
        self.nothing = nn.Parameter(torch.zeros(()))
        self.alphas = diffusers.DDIMScheduler().alphas_cumprod
        self.asked: list[Tensor] = []
        line = ((torch.arange(SIZE) + 0.5) / SIZE - 0.5) * EXTENT
        self.disc = ((RADIUS - (line[None] ** 2 + line[:, None] ** 2).sqrt()) / (EXTENT / SIZE) + 0.5).clamp(0, 1)

    def forward(self, x: Tensor, t: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        self.asked.append(encoder_hidden_states)
        ac = self.alphas[t].view(-1, 1, 1, 1)
        said = encoder_hidden_states[:, :1, 3:].view(-1, 1, 1, 1)
        colour = encoder_hidden_states[:, 0, :3].view(-1, 3, 1, 1)
        corner = x[..., :2, :2].mean((2, 3), keepdim=True) / ac.sqrt()
        wish = self.disc * (2 * colour - 1) + (1 - self.disc) * corner.clamp(-1, 1)
        eps: Tensor = said * (x - ac.sqrt() * wish) / (1 - ac).sqrt()
        return eps


class Pipeline(SimpleNamespace):
    def encode_prompt(self, prompt: list[str], **_: Any) -> tuple[Tensor, None]:
        self.texts = prompt
        rows = [[0.9, 0.1, 0.1, 1.0] if "ruby" in text else [0.0, 0.0, 0.0, 0.0] for text in prompt]
        return torch.tensor(rows)[:, None], None


@pytest.fixture
def model() -> TextToImage:
    return TextToImage(Pipeline(unet=Wish(), vae=None, scheduler=diffusers.DDIMScheduler()))


def test_the_field_becomes_what_the_pipeline_wishes(model: TextToImage) -> None:
    maker = Guided(steps=60, views=2, size=SIZE, guidance=1.0, voxels=16, rate=0.2, extent=EXTENT)
    request = Request(maker.read(" a ruby dragon "), 3)
    frames = list(maker.frames(model, request))
    assert len(frames) == maker.length
    assert model.pipeline.texts == [*(f"a ruby dragon, {name} view" for name in ("front", "side", "back", "overhead")), ""]
    body = cast("OpaqueBody", frames[-1].body)
    inside, radius = hidden(body.field, 16) > 0, grid_points(16).norm(dim=-1)
    ball = radius < RADIUS
    assert float((inside & ball).sum() / (inside | ball).sum()) > 0.6
    red = body.colour(grid_points(16)[inside & (radius > 0.2)]).mean(0)
    assert red[0] > 0.6 > 3 * red[1]
    again = cast("OpaqueBody", last(maker.frames(model, request)).body)
    for one, other in zip(again.field.parameters(), body.field.parameters(), strict=True):
        assert torch.equal(one, other)


def test_views_are_named_and_the_others_are_negatives(model: TextToImage) -> None:
    assert [side(a, 0.0) for a in (0, 44, -44, 46, -120, 136, 180, -179, 360)] == [
        "front", "front", "front", "side", "side", "back", "back", "back", "front",
    ]  # fmt: skip
    assert side(10.0, 70.0) == "overhead"
    maker = Guided(apart=1.0)
    told = {name: torch.full((1, 1), float(k)) for k, name in enumerate(("front", "side", "back", "overhead", "null"))}
    prompts = maker._prompts(told, torch.tensor([[0.0, 0.0], [90.0, 0.0], [180.0, 0.0], [0.0, 80.0]]))
    rows = {key: value["encoder_hidden_states"].flatten().tolist() for key, value in prompts.items()}
    assert rows == {"cond": [0, 1, 2, 3], "null": [4] * 4, "other 1": [1, 2, 0, 3], "other 2": [2, 0, 1, 3]}
    short = Guided(steps=1, views=2, size=8, voxels=8, apart=1.0)
    assert len(list(short.frames(model, Request(short.read("a ruby"))))) == 2
    assert len(model.pipeline.unet.asked) == short.nfe


def test_free_text_has_no_closed_vocabulary_but_needs_a_model() -> None:
    maker = Guided()
    assert str(maker.read("an astronaut riding a horse").coloured(3)) == "an astronaut riding a horse"
    with pytest.raises(InputError, match="no words"):
        maker.read("  ")
    with pytest.raises(InputError, match="Guided: it ships no model; expected the name or the folder of one"):
        maker.model_name()
    with pytest.raises(InputError, match="expected at least one step, view and pixel"):
        Guided(steps=0)
