"""The multi-view network and its training data: what it is told, what it must not depend on, and that views talk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.processes import Cosine
from polyscore.shapes.networks.multiview import MultiViewUNet
from polyscore.shapes.pictures import layers, rig
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import COLOURS, palette, parse
from polyscore.state import Given

pytest.importorskip("lightning")


def network() -> MultiViewUNet:
    made = MultiViewUNet(widths=(8, 16), heads=4, embedding=16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # layers that start at 0 would hide everything
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return made.eval()


def given(cameras: Tensor, words: Tensor | None = None) -> Given:
    numbers = torch.tensor([[0, 1, 2]]).expand(len(cameras), -1) if words is None else words
    return Given(cond={"words": numbers, "cameras": cameras})


CAMERAS = rig(torch.tensor([10.0, 50.0]), torch.tensor([20.0, -5.0]), 4)
X = torch.randn(2, 4, 7, 16, 16, generator=torch.Generator().manual_seed(1))
TIME = torch.tensor([0.3, 0.8])


@torch.no_grad()
def test_the_order_of_the_views_does_not_matter_and_objects_do_not_mix() -> None:
    net = network()
    out = net(X, TIME, given(CAMERAS))
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(net(X[:, order], TIME, given(CAMERAS[:, order])), out[:, order], atol=1e-4)
    assert torch.allclose(net(X[:1], TIME[:1], given(CAMERAS[:1])), out[:1], atol=1e-4)


@torch.no_grad()
def test_views_of_an_object_talk() -> None:
    net = network()
    out = net(X, TIME, given(CAMERAS))
    changed = X.clone()
    changed[0, 3] += 1
    moved = (net(changed, TIME, given(CAMERAS)) - out).abs().amax((2, 3, 4))
    assert (moved[0] > 1e-4).all()
    assert moved[1].max() < 1e-6


@torch.no_grad()
def test_the_network_hears_words_cameras_and_time() -> None:
    net = network()
    out = net(X, TIME, given(CAMERAS))
    for other in (
        net(X, TIME, given(CAMERAS + torch.tensor([30.0, 0.0]))),
        net(X, TIME, given(CAMERAS + torch.tensor([0.0, 30.0]))),
        net(X, TIME, given(CAMERAS, torch.tensor([[0, 1, 1]] * 2))),
        net(X, TIME, given(CAMERAS, torch.tensor([[3, 1, 2]] * 2))),
        net(X, TIME * 0.5, given(CAMERAS)),
    ):
        assert (other - out).abs().max() > 1e-3
    turned = net(X, TIME, given(CAMERAS + torch.tensor([360.0, 0.0])))
    assert torch.allclose(turned, out, atol=1e-3)  # a full turn is none
    unsaid = net(X, TIME, given(CAMERAS, torch.tensor([[-1, -1, -1]] * 2)))
    assert torch.equal(unsaid, net(X, TIME, given(CAMERAS, torch.tensor([[12, 8, 3]] * 2))))


def test_an_untrained_network_says_zero() -> None:
    assert MultiViewUNet(widths=(8, 16), embedding=16)(X, TIME, given(CAMERAS)).abs().max() == 0


@pytest.mark.parametrize(
    ("x", "cond", "message"),
    [
        (X, None, "given.cond is NoneType, expected a mapping with words and cameras"),
        (X[..., :15], {"words": torch.zeros(2, 3), "cameras": CAMERAS}, r"expected \(B, V, 7, H, W\) with sides divisible by 4"),
        (X, {"words": torch.zeros(2, 2), "cameras": CAMERAS}, r"words \(2, 2\) and cameras \(2, 4, 2\)"),
    ],
)
def test_conditions_that_are_wrong(x: Tensor, cond: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        network()(x, TIME, Given(cond=cond))


def test_the_data_are_pictures_of_what_the_words_say() -> None:
    from polyscore.shapes.data.procedural_data import SolidViews, SolidViewsData

    data = SolidViews(1, size=16, repeat=3, seed=2)
    assert len(data) == 36
    batch = data.__getitems__(list(range(36)))
    assert batch["x0"].shape == (36, 4, 7, 16, 16)
    kinds, colours, finishes = batch["cond"]["words"].unbind(1)
    assert torch.equal(kinds, torch.arange(12).repeat(3))
    assert colours.unique().numel() > 4
    assert finishes.unique().numel() == 3
    for i in range(36):
        parts = layers(batch["x0"][i])
        area = parts.coverage.sum()
        assert 0.02 < float(parts.coverage.mean()) < 0.6
        if finishes[i] == 0 and kinds[i] not in {2, 7}:  # without a highlight; lamps and boats have large parts of other colours
            hue = parts.colour.sum((0, 1, 2)) / area
            near = torch.stack([palette(name)[0] for name in COLOURS])
            match = torch.nn.functional.cosine_similarity(hue[None], near, dim=1)
            assert match[colours[i]] > 0.8
    single = data[7]
    assert torch.equal(single["x0"], batch["x0"][7])
    assert torch.equal(single["cond"]["words"], batch["cond"]["words"][7])
    module = SolidViewsData(5, 1, validation=1, size=16, seed=2)
    module.setup("fit")
    assert sum(len(b["x0"]) for b in module.train_dataloader()) == 10  # full batches only
    held = next(iter(module.val_dataloader()))
    assert not torch.equal(held["cond"]["cameras"][:5], batch["cond"]["cameras"][:5])
    two = SolidViews(1, size=16, rigs=2, more={"plane": 3}, seed=2)
    assert two.kinds.bincount().tolist() == [1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1]
    azimuth, elevation = two.cameras.view(14, 2, 4, 2).unbind(-1)
    assert torch.equal(elevation[..., :1].expand_as(elevation), elevation)  # a rig has one elevation, and
    assert float((elevation[:, 0] - elevation[:, 1]).abs().amin(1).min()) > 0  # rigs have their own
    assert torch.allclose(azimuth.diff(dim=-1), torch.tensor(90.0), atol=1e-4)
    with pytest.raises(InputError, match="'dragon': 2"):
        SolidViews(1, size=16, more={"dragon": 2})
    other = SolidViewsData(13, 1, validation=1, size=16)
    other.setup("fit")
    with pytest.raises(InputError, match="batch_size 13, an epoch has 12 solids"):
        other.train_dataloader()


def test_views_depend_on_the_seed_of_their_object_alone() -> None:
    prior = TextToShape(Precondition(network(), Cosine(alpha_min=0.03), predicts="v"), 16).eval()
    words = parse("a red mug")
    both = prior.views(words, CAMERAS, steps=2, seed=5)
    assert torch.allclose(prior.views(words, CAMERAS[1:], steps=2, seed=6), both[1:], atol=1e-4)
    told = prior.prompts(words, CAMERAS)
    assert told["cond"]["words"].tolist() == [[3, 0, 0]] * 2
    assert (told["null"]["words"] == -1).all()
    assert torch.equal(told["null"]["cameras"], CAMERAS)
    with pytest.raises(InputError, match=r"cameras \(4, 2\)"):
        prior.views(words, CAMERAS[0])


def test_the_second_stage_goes_on_from_a_trained_prior(tmp_path: Path) -> None:
    from polyscore.training.engine import assemble

    config = Path(__file__).parents[2] / "configs" / "shapes" / "prior_rigs.yaml"
    run = assemble([config], folder=tmp_path, overrides=["--model.init_args.model.init_args.name=solids"])
    begun: Any = run.module
    assert isinstance(begun.model, TextToShape)
    shipped = TextToShape.from_pretrained("solids").state_dict()
    assert all(torch.equal(shipped[name], value) for name, value in begun.model.state_dict().items())
