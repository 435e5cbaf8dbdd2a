"""Codes of solids: surfaces and distances by formula, invariances of the networks, draws by seed, what is saved and trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.errors import CheckpointError, ConfigError, InputError
from polyscore.guidance import CFG
from polyscore.hub import save
from polyscore.processes import Cosine
from polyscore.samplers import DDIM, sample
from polyscore.shapes.data.procedural import draw, names
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.shapes.data.procedural_codes import SolidCodesData, codes_of
from polyscore.shapes.data.procedural_surfaces import SolidSurfaces
from polyscore.shapes.networks.attention import Memory
from polyscore.shapes.networks.vecset import SetDecoder, SetDenoiser, SetEncoder
from polyscore.shapes.vecset import CodedSolid, SolidCodes, VecSet
from polyscore.shapes.vecset_training import SolidCodesTraining
from polyscore.shapes.words import palette
from polyscore.state import Given

CODES, CHANNELS = 6, 4


def tiny(*, seed: int = 0) -> VecSet:
    """A model with random weights, those that begin as 0 included."""
    torch.manual_seed(seed)
    encoder = SetEncoder(CODES, CHANNELS, 16, heads=2, octaves=2)
    decoder = SetDecoder(CODES, CHANNELS, 16, heads=2, depth=1, octaves=2)
    network = SetDenoiser(CODES, CHANNELS, 16, heads=2, depth=1)
    for layer in (network.tell, network.outputs):
        nn.init.normal_(layer.weight, std=0.3)
    model = VecSet(SolidCodes(encoder, decoder), Precondition(network, Cosine(alpha_min=0.03), predicts="v"))
    return model.eval()


def denoised(x: Tensor, kinds: Tensor | None = None) -> Tensor:
    """The network's own answer at t = 1."""
    network: Any = tiny().denoiser.network
    found: Tensor = network(x, torch.ones(len(x)), Given(cond=kinds))
    return found


@pytest.fixture(scope="module")
def surfaces() -> SolidSurfaces:
    return SolidSurfaces(2, keep=256, points=64, places=(40, 30, 20), more={"mug": 2}, seed=3)


def test_a_visit_shows_the_surface_and_asks_true_distances(surfaces: SolidSurfaces) -> None:
    mug = names().index("mug")
    assert len(surfaces) == 26 and int((surfaces.kinds == mug).sum()) == 4
    indices = [0, 25, 7, 3, 8]
    batch = surfaces.__getitems__(indices)
    for row, index in enumerate(indices):
        kind = int(batch["kinds"][row])
        number = index - int((surfaces.kinds < kind).sum())
        solid = surfaces.solids[kind][number]
        here = torch.zeros(64, dtype=torch.long)
        assert float(solid.distance(batch["points"][row], here).abs().max()) < 3e-3
        normals, paints = solid.surface(batch["points"][row], here)
        assert float((normals * batch["normals"][row]).sum(-1).median()) > 0.999  # kept in 8 bits
        assert torch.equal(paints, batch["paints"][row])
        there = torch.zeros(90, dtype=torch.long)
        assert torch.equal(solid.distance(batch["places"][row], there), batch["distances"][row])
        near, off = batch["distances"][row, :40].abs(), batch["distances"][row, 40:70].abs()
        assert float(near.max()) < 5 * 0.012 and float(off.mean()) > float(near.mean())


def test_a_visit_depends_on_its_number_alone(surfaces: SolidSurfaces) -> None:
    together = surfaces.__getitems__([4, 11, 30])
    alone = surfaces.__getitems__([30])
    assert all(torch.equal(together[name][2:], alone[name]) for name in alone)
    assert torch.equal(alone["kinds"], surfaces.__getitems__([4])["kinds"])  # the second visit of solid 4 ...
    assert not torch.equal(alone["places"], surfaces.__getitems__([4])["places"])  # ... asks elsewhere


def test_the_encoder_does_not_see_the_order_of_points_and_gives_codes_on_a_sphere() -> None:
    encoder = tiny().codes.encoder
    cloud = clouds_of(draw("lamp", 2), 50)
    codes = encoder(*cloud)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(encoder(*(part[:, order] for part in cloud)), codes, atol=1e-5)
    assert torch.allclose(codes.square().sum(-1), torch.full((2, CODES), float(CHANNELS)), atol=1e-4)
    assert not torch.allclose(codes[0], codes[1], atol=1e-3)


def test_points_are_read_in_parts_as_at_once() -> None:
    decoder = tiny().codes.decoder
    codes, points = torch.randn(2, CODES, CHANNELS), torch.rand(2, 30, 3) - 0.5
    whole = decoder(codes, points)
    memories = decoder.remember(codes)
    parts = torch.cat([decoder.read(some, memories) for some in torch.split(points, 7, 1)], 1)
    assert torch.allclose(parts, whole, atol=1e-5)
    assert torch.allclose(decoder(codes[1:], points[1:]), whole[1:], atol=1e-5)  # objects do not see each other


def test_no_kind_is_a_kind_of_its_own() -> None:
    x = torch.randn(2, CODES, CHANNELS)
    assert torch.equal(denoised(x), denoised(x, torch.tensor([-1, -1])))
    assert not torch.allclose(denoised(x), denoised(x, torch.tensor([0, 0])), atol=1e-3)


def test_a_draw_depends_on_its_seed_alone() -> None:
    model = tiny()
    three = model.draw("mug", 3, steps=4, seed=5)
    assert torch.allclose(model.draw("mug", steps=4, seed=6)[0], three[1], atol=1e-5)
    assert not torch.allclose(three[0], three[1], atol=0.1)
    assert not torch.allclose(model.draw("car", 3, steps=4, seed=5), three, atol=1e-3)


def test_guidance_one_is_the_conditional_model_and_more_goes_beyond_it() -> None:
    model = tiny()
    like, given = torch.empty(1, CODES, CHANNELS), Given(cond=torch.tensor([names().index("boat")]))
    settings: dict[str, Any] = {"steps": 3, "given": given, "noise": 2}
    process: Any = model.denoiser.process
    plain = sample(DDIM(), model.denoiser, process, like, **settings)
    assert torch.equal(model.draw("boat", steps=3, guidance=1.0, seed=2), plain)
    guided = CFG(model.denoiser, null=lambda told: told._replace(cond=torch.tensor([-1])), scale=3.0)
    beyond = sample(DDIM(), guided, process, like, **settings)
    assert torch.allclose(model.draw("boat", steps=3, guidance=3.0, seed=2), beyond, atol=1e-6)
    assert not torch.allclose(beyond, plain, atol=1e-3)


def test_a_start_is_kept_at_strength_zero_and_forgotten_at_one() -> None:
    model = tiny()
    start = torch.randn(CODES, CHANNELS)
    assert torch.equal(model.draw("tree", start=start, strength=0.0)[0], start)
    near, far = (model.draw("tree", start=start, strength=s, steps=10, seed=1) for s in (0.05, 0.9))
    assert float((near[0] - start).norm()) < 0.5 * float((far[0] - start).norm())


class Ball(nn.Module):
    """A decoder that says a ball of radius 0.3 in SHADE above and MAIN below, whatever the codes."""

    codes, channels, paints = CODES, CHANNELS, 5

    def remember(self, codes: Tensor) -> list[Memory]:
        return [Memory(codes, codes)]

    def read(self, points: Tensor, memories: list[Memory]) -> Tensor:
        distance = (points.norm(dim=-1, keepdim=True) - 0.3) / 0.06
        paints = torch.full((*points.shape[:-1], 5), -30.0)
        paints[..., 0], paints[..., 1] = -100 * points[..., 1], 100 * points[..., 1]
        return torch.cat([distance, paints], -1)

    def forward(self, codes: Tensor, points: Tensor) -> Tensor:
        return self.read(points, self.remember(codes))


def ball() -> SolidCodes:
    decoder: Any = Ball()
    return SolidCodes(SetEncoder(CODES, CHANNELS, 16, heads=2), decoder)


def test_a_coded_solid_is_its_field_and_its_colours() -> None:
    codes = ball()
    solid = CodedSolid(codes, codes.decoder.remember(torch.zeros(1, CODES, CHANNELS)))
    points = torch.tensor([[0.0, 0.2, 0.0], [0.0, -0.4, 0.0], [0.3, 0.0, 0.0]])
    assert torch.allclose(solid.level(points), torch.tensor([0.1, -0.1, 0.0]), atol=1e-6)
    wanted = torch.stack([palette("green")[1], palette("green")[0], palette("green")[:2].mean(0)])
    assert torch.allclose(solid.colour(points, "green"), wanted, atol=1e-5)


def test_the_loss_is_nothing_for_the_truth_and_counts_wrong_sides() -> None:
    training = SolidCodesTraining(ball(), paint=0.2)
    places = 0.8 * torch.rand(2, 400, 3, generator=torch.Generator().manual_seed(0)) - 0.4
    distances = places.norm(dim=-1) - 0.3
    cloud = clouds_of(draw("tree", 2), 16)
    batch = {"points": cloud.points, "normals": cloud.normals, "paints": cloud.paints, "places": places}
    clipped = (distances / 0.06 - (distances / 0.06).clamp(-1, 1)).abs().mean(1)
    loss, wrong = training.losses({**batch, "distances": distances, "nearest": (places[..., 1] > 0).long()}, 0)
    assert torch.allclose(loss, clipped, atol=0.02) and float(wrong.max()) == 0  # paints are sure but near y = 0
    _, wrong = training.losses({**batch, "distances": -distances, "nearest": torch.zeros(2, 400).long()}, 0)
    assert float(wrong.min()) == 1
    with pytest.raises(ConfigError, match="expected a SolidCodes"):
        SolidCodesTraining(nn.Linear(1, 1))  # type: ignore[arg-type]


def test_what_is_saved_comes_back_and_draws_the_same(tmp_path: Path) -> None:
    model = tiny(seed=1)
    back = VecSet.from_pretrained(save(tmp_path / "model", model))
    assert torch.equal(back.draw("house", steps=2), model.draw("house", steps=2))
    points = torch.rand(5, 3) - 0.5
    codes = torch.randn(CODES, CHANNELS)
    assert torch.equal(back.solid(codes).level(points), model.solid(codes).level(points))
    with pytest.raises(CheckpointError, match="expected a SolidCodes"):
        SolidCodes.from_pretrained(tmp_path / "model")


def test_both_stages_train_by_their_configurations(tmp_path: Path) -> None:
    from polyscore.training.engine import assemble

    configs = Path(__file__).parents[2] / "configs" / "shapes"
    short = ["--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    small = ["batch_size=4", "each=1", "repeat=2", "validation=1"]
    networks = "--model.init_args.model.init_args"
    first = [
        *short, *(f"--data.init_args.{word}" for word in [*small, "keep=64", "points=32", "places=[8,8,8]"]),
        f"{networks}.encoder.init_args.width=16", f"{networks}.decoder.init_args.width=16",
    ]  # fmt: skip
    run = assemble([configs / "vecset_codes.yaml"], folder=tmp_path / "codes", overrides=[*first, "--data.init_args.more=null"])
    run.fit()
    trained = str(tmp_path / "codes" / "model")
    second = [
        *short, *(f"--data.init_args.{word}" for word in [*small, "points=32", f"codes={trained}"]),
        f"{networks}.codes.init_args.name={trained}", f"{networks}.denoiser.init_args.network.init_args.width=16",
    ]  # fmt: skip
    run = assemble([configs / "vecset.yaml"], folder=tmp_path / "prior", overrides=second)
    run.fit()
    codes = SolidCodes.from_pretrained(trained)
    kept = VecSet.from_pretrained(tmp_path / "prior" / "model").codes.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in codes.state_dict().items())  # the second keeps the first
    z = codes_of(codes, "mug", 2, points=32)
    cloud = clouds_of(draw("mug", 2), 32)
    assert torch.allclose(z, codes.encode(*cloud), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SetEncoder(width=15), "SetEncoder: width 15"),
        (lambda: SetDecoder(codes=0), "expected positive numbers"),
        (lambda: SolidCodes(SetEncoder(4), SetDecoder(5)), "expected a positive reach"),
        (lambda: SolidSurfaces(1, more={"dragon": 2}), "of chair, table"),
        (lambda: SolidCodesData("none", 500, 1), "a batch that is not larger"),
        (lambda: tiny().draw("dragon"), "expected 1 or more of chair"),
        (lambda: denoised(torch.zeros(1, 2, 2)), r"codes \(1, 2, 2\)"),
        (lambda: denoised(torch.zeros(1, CODES, CHANNELS), torch.ones(1)), "kinds torch.float32"),
    ],
)
def test_what_cannot_be_is_said(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
