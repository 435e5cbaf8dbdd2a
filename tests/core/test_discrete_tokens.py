"""What a model of categories may say: vocabularies, temperature, top-k, top-p; and the denoiser made of a network of tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.errors import InputError
from polyscore.guidance import CFG
from polyscore.guidance.tokens import Sharpened, Vocabulary
from polyscore.hub.config import build, config_of
from polyscore.processes import VP, Product
from polyscore.processes.discrete import Absorbing, Replacing, log_rows
from polyscore.samplers import Ancestral, sample
from polyscore.samplers.discrete import FirstHitting
from polyscore.state import NONE, Given

F64 = torch.float64


class Fixed:
    """The same logits whatever it is asked."""

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(self.logits)


def rows(denoiser: Any, x: Tensor, cells: list[int] | None = None) -> Tensor:
    place = torch.arange(x.numel()) if cells is None else torch.tensor(cells)
    return log_rows(denoiser(x, 0.5, NONE).x0, place).exp()


def test_a_vocabulary_per_track() -> None:
    allowed = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]], dtype=torch.bool)[:, None]  # (tracks, 1, K)
    logits = torch.randn(3, 2, 40, 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    model = Vocabulary(Fixed(logits), allowed)
    x = torch.full((3, 2, 40), 5)
    found = rows(model, x).view(3, 2, 40, 5)
    whole = logits.masked_fill(~allowed, -torch.inf).softmax(-1)
    assert torch.allclose(found, whole, atol=1e-15)
    assert torch.allclose(rows(model, x, [79, 80, 239]), whole.flatten(0, 2)[[79, 80, 239]], atol=1e-15)
    made = sample(FirstHitting(), model, Absorbing(5), torch.zeros(3, 2, 40, dtype=torch.long), steps=1, noise=0)
    assert int(made[:, 0].max()) == 1 and int(made[:, 1].min()) == 2
    with pytest.raises(InputError, match="no category is allowed"):
        Vocabulary(Fixed(logits), torch.zeros(5))


def test_sharpening_keeps_the_right_categories() -> None:
    p = torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04], dtype=F64)
    model, x = Fixed(p.log().expand(1, 1, 5)), torch.full((1, 1), 5)
    cases = [
        (Sharpened(model, 0.5), p**2 / (p**2).sum()),
        (Sharpened(model, top_k=2), torch.tensor([4, 3, 0, 0, 0], dtype=F64) / 7),
        (Sharpened(model, top_p=0.69), torch.tensor([4, 3, 0, 0, 0], dtype=F64) / 7),
        (Sharpened(model, top_p=0.71), torch.tensor([4, 3, 2, 0, 0], dtype=F64) / 9),
        (Sharpened(model, top_p=1e-9), torch.tensor([1, 0, 0, 0, 0], dtype=F64)),
        (Sharpened(Vocabulary(model, torch.tensor([0, 1, 1, 1, 1])), top_k=1), torch.tensor([0, 1, 0, 0, 0], dtype=F64)),
    ]
    for made, expected in cases:
        assert torch.allclose(rows(made, x)[0], expected, atol=1e-14)
    for bad in ({"temperature": 0.0}, {"top_p": 0.0}, {"top_k": -1}):
        with pytest.raises(InputError, match="Sharpened"):
            Sharpened(model, **bad)


def test_classifier_free_guidance_acts_on_logits() -> None:
    """p = p_cond^s p_uncond^(1 - s), up to a constant, by the same wrapper as for continuous states."""

    def model(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tensor([0.0, 1.0, 2.0], dtype=F64).expand(1, 1, 3) * (0.5 if given.cond is None else given.cond))

    guided = CFG(model, Given(), 3.0)
    found = guided(torch.full((1, 1), 3), 0.5, Given(cond=1.0)).x0
    assert torch.allclose(found[0, 0], torch.tensor([0.0, 1.0, 2.0], dtype=F64) * (0.5 + 3 * 0.5))


def test_discrete_leaves_only() -> None:
    process = Product(pos=VP(), types=Absorbing(4), kind=Replacing(3))
    like = {"pos": torch.zeros(2, 3, dtype=F64), "types": torch.zeros(2, 9).long(), "kind": torch.zeros(2, 9).long()}
    x0 = {"pos": torch.zeros(2, 3, dtype=F64), "types": torch.zeros(2, 9, 4), "kind": torch.zeros(2, 9, 3)}
    model = Vocabulary(Sharpened(Fixed(x0), 0.7), {"types": torch.tensor([0, 0, 1, 0])})
    made = sample(Ancestral(), model, process, like, steps=3, noise=1)
    assert bool((made["types"] == 2).all())
    assert len(made["kind"].unique()) == 3
    assert torch.equal(made["pos"], sample(Ancestral(), Fixed(x0), process, like, steps=3, noise=1)["pos"])


class Told(nn.Module):
    """Repeats the time it is told."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, time: Tensor | None, given: Given) -> Tensor:
        told = torch.full((len(x),), -1.0) if time is None else time
        return told.view(-1, 1, 1).expand(*x.shape, 2)


def test_what_a_network_is_told_about_the_time() -> None:
    x, process = torch.zeros(3, 4, dtype=torch.long), Absorbing(2)
    t = torch.tensor([0.25, 0.5, 1.0], dtype=F64)
    for kind, expected in (("none", [-1.0] * 3), ("t", [0.25, 0.5, 1.0]), ("index", [24.0, 49.0, 99.0])):
        model = TokenDenoiser(Told(), process, time=kind)  # type: ignore[arg-type]
        assert model(x, t).x0[:, 0, 0].tolist() == expected
    assert TokenDenoiser(Told(), process, time="t")(x, 0.5).x0[:, 0, 0].tolist() == [0.5] * 3
    with pytest.raises(InputError, match="expected one of none, t, index"):
        TokenDenoiser(Told(), process, time="log_snr")  # type: ignore[arg-type]


def test_a_token_denoiser_is_saved_by_its_arguments() -> None:
    config = config_of(TokenDenoiser(Told(), Absorbing(3), time="index", steps=10))
    again = build(config, allow=(__name__,))
    assert (type(again.network), again.process, again.time, again.steps) == (Told, Absorbing(3), "index", 10)
