"""The shipped policy `push-blocks`: it pushes, does what is asked of it, in every order, and says what it was trained on."""

from __future__ import annotations

import pytest

from polyscore.errors import InputError
from polyscore.hub import shipped
from polyscore.hub.card import card_fields
from polyscore.robots import Demonstrations, Policy
from polyscore.robots.recording import record
from polyscore.robots.rollout import Outcome, entropy_bits, rollout


@pytest.fixture(scope="module")
def model() -> Policy:
    return Policy.from_pretrained("push-blocks")


def full(outcomes: list[Outcome]) -> float:
    return sum(o.result == 1 for o in outcomes) / len(outcomes)


def test_it_pushes_where_it_is_told(model: Policy) -> None:
    outcomes = list(rollout(model, 12, seed=4000))
    assert full(outcomes) >= 0.6
    assert (model.sampling.sampler, model.sampling.steps) == ("ddim", 3)


def test_it_knows_its_data(model: Policy) -> None:
    (found,) = [entry for entry in shipped() if entry.name == "push-blocks"]
    assert sum(file.stat().st_size for file in found.path.iterdir()) < 3e6
    card = (found.path / "card.md").read_text(encoding="utf-8")
    assert card_fields(card)["license"] == "apache-2.0"
    assert model.data == {"fingerprint": model.data["fingerprint"], "episodes": 950, "frames": model.data["frames"]}
    other = Demonstrations.of([episode for episode, _ in record(4, seed=77)])
    model.check(other)
    in_centimetres = Demonstrations(100 * other.observations, other.actions, other.offsets)
    with pytest.raises(InputError, match="other units"):
        model.check(in_centimetres)


@pytest.mark.slow
def test_it_is_as_good_as_its_card(model: Policy) -> None:
    outcomes = list(rollout(model, 200))
    assert full(outcomes) >= 0.75
    assert entropy_bits(outcomes)[0] >= 1.8
    # without a goal it serves any order: half of the time another than the asked one
    free = list(rollout(model.with_sampling(guidance=0.0), 40))
    model.with_sampling(guidance=1.0)
    assert sum(o.reward > 0.9 for o in free) / 40 > 0.75
    assert 0.2 < full(free) < 0.75
