"""The shipped model `digits`: it draws what is asked for, with every sampler, and its configurations train such models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.digits import measure

from polyscore.cli.main import main
from polyscore.cli.samplers import SAMPLERS, make
from polyscore.hub import shipped
from polyscore.hub.card import card_fields
from polyscore.images import ImageGenerator
from polyscore.images.metrics import DigitsClassifier

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def classifier() -> DigitsClassifier:
    return DigitsClassifier.fit()


@pytest.fixture(scope="module")
def model() -> ImageGenerator:
    return ImageGenerator.from_pretrained("digits")


def as_good_as_its_card(found: dict[str, Any]) -> None:
    """The bar of the project, and what a model that copies or repeats itself would not reach."""
    assert found["sampler_calls"] == 10
    assert found["as_requested"]["share"] >= 0.95
    assert found["as_requested_by_classifier_of_test_part"]["share"] >= 0.95
    assert found["real_test_accuracy_of_classifier_trained_on_drawn"]["share"] >= 0.85
    drawn, real = (found["nearest_training_image"][name] for name in ("drawn", "real_train_to_another"))
    assert drawn["min"] > 0.25  # no copies: a copy is at 0
    assert 0.7 * real["median"] < drawn["median"] < 1.5 * real["median"]
    assert found["nearest_other_of_the_set"]["drawn"]["min"] > 0.2  # nor copies of each other
    assert min(found["spread_of_class_against_real"]) > 0.65


def test_five_hundred_digits(model: ImageGenerator) -> None:
    found = measure(model, count=500, steps=10, guidance=2.0, sampler="dpmpp-2m", seed=1000)
    as_good_as_its_card(found)
    assert found["network_evaluations_per_sample"] == 20  # guidance: with and without the class


def test_every_sampler_draws_digits(model: ImageGenerator, classifier: DigitsClassifier) -> None:
    labels = torch.arange(10)
    right = {name: int((classifier(model.sample(labels, sampler=make(name), seed=7)) == labels).sum()) for name in SAMPLERS}
    assert {name: count for name, count in right.items() if count < 8} == {}


def test_without_guidance_and_without_a_class(model: ImageGenerator, classifier: DigitsClassifier) -> None:
    labels = torch.arange(100) % 10
    assert float((classifier(model.sample(labels, guidance=1.0)) == labels).double().mean()) > 0.9
    counts = classifier(model.sample(200)).bincount(minlength=10)  # of any class: all of them occur
    assert int(counts.min()) >= 5


def test_it_is_small_and_its_card_says_what_it_is() -> None:
    folder = next(entry.path for entry in shipped() if entry.name == "digits")
    assert (folder / "model.safetensors").stat().st_size < 1_000_000
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert card_fields(card)["license"] == "cc-by-4.0"
    for words in ("CC BY 4.0", "doi 10.24432/C50P49", "fit --config images/digits", "only on a CPU", "seeds 1000", "n 500"):
        assert words in card


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "digits_dit"])
def test_the_configuration_trains_such_a_model(name: str, tmp_path: Path) -> None:
    assert main(["fit", "--config", f"images/{name}", "-o", str(tmp_path / "run"), "--quiet"]) == 0
    trained = ImageGenerator.from_pretrained(tmp_path / "run" / "model")
    as_good_as_its_card(measure(trained, count=500, steps=10, guidance=2.0, sampler="dpmpp-2m", seed=1000))
