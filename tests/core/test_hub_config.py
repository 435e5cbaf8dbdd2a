"""Objects as JSON and back: the attribute convention, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
from typing import Any

import pytest
from tests.core import hub_models as models
from torch import nn

from polyscore import noise, processes, samplers
from polyscore.errors import ConfigError, InputError
from polyscore.hub import build, config_of
from polyscore.hub.config import class_path
from polyscore.processes import OUVE, VE, VP, Product

ALLOW = ("tests.core.hub_models",)


def test_a_process_round_trips_through_json_text() -> None:
    leaves: dict[str, Any] = {"x": VP(0.2, 12.0), "adj": VE(0.1, 7.0)}
    process = Product(leaves)
    config = json.loads(json.dumps(config_of(process)))
    again = build(config)
    assert type(again) is Product
    assert config_of(again) == config
    assert config["init_args"]["leaves"]["x"]["init_args"]["beta_min"] == 0.2


def plain_objects() -> list[object]:
    """One object of every public process, noise law and sampler that can be made without arguments."""
    found: list[object] = []
    for package in (processes, noise, samplers):
        for name in package.__all__:
            cls = getattr(package, name)
            if isinstance(cls, type) and dataclasses.is_dataclass(cls):
                with contextlib.suppress(TypeError, InputError):
                    found.append(cls())
    return [thing for thing in found if not holds_function(thing)]


def holds_function(thing: object) -> bool:
    """Whether a part is a plain function: a rule of a sampler, which a configuration must not name."""
    if isinstance(thing, types.FunctionType):
        return True
    return dataclasses.is_dataclass(thing) and any(holds_function(getattr(thing, f.name)) for f in dataclasses.fields(thing))


@pytest.mark.parametrize("thing", plain_objects(), ids=lambda thing: type(thing).__name__)
def test_every_process_law_and_sampler_round_trips(thing: object) -> None:
    config = json.loads(json.dumps(config_of(thing)))
    assert config["class_path"].count(".") == 2  # as its package exports it
    again = build(config)
    assert type(again) is type(thing)
    assert again == thing or config_of(again) == config


def test_a_class_is_named_as_its_package_exports_it() -> None:
    assert config_of(OUVE())["class_path"] == "polyscore.processes.OUVE"
    assert OUVE.__module__ != "polyscore.processes"


def test_nested_modules_sequences_and_mappings_round_trip() -> None:
    net = models.Outer(models.Inner(3), sizes=(4, (5, 6)), table={"a": models.Inner(2), "b": None}, name="x")
    config = json.loads(json.dumps(config_of(net)))
    again = build(config, allow=ALLOW)
    assert isinstance(again, models.Outer)
    assert again.sizes == (4, (5, 6))
    assert isinstance(again.inner, models.Inner)
    assert again.inner.width == 3
    assert again.table["a"].width == 2
    assert again.table["b"] is None
    assert config_of(again) == config


def test_positional_and_named_varieties_round_trip() -> None:
    net = models.Stack(2, models.Inner(1), models.Inner(2), scale=0.5)
    again = build(config_of(net), allow=ALLOW)
    assert [block.width for block in again.blocks] == [1, 2]
    assert (again.depth, again.scale) == (2, 0.5)


def test_defaults_are_written_out() -> None:
    assert config_of(models.Inner())["init_args"] == {"width": 7}


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (models.Forgetful(3), "keeps no attribute"),
        (models.Inner(nn.Linear(1, 1)), "Inner.width is a Linear"),  # type: ignore[arg-type]
        (models.Inner(len), "Inner.width is a builtin_function_or_method"),  # type: ignore[arg-type]
        (models.Inner({1: 2}), "the key 1"),  # type: ignore[arg-type]
        (models.Outer(models.Inner(object()), (), {}, ""), "inner -> Inner.width is a object"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_is_named(model: nn.Module, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        config_of(model)


def test_a_local_class_has_no_path() -> None:
    class Local:
        pass

    with pytest.raises(ConfigError, match="defined inside"):
        class_path(Local)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({}, "expected the keys class_path and init_args"),
        ([1], "expected the keys class_path and init_args"),
        ({"class_path": "polyscore.processes.VP", "init_args": {}, "extra": 1}, "expected the keys"),
        ({"class_path": "polyscore.processes.VP", "init_args": {"beta_maximum": 1.0}}, "VP has no argument 'beta_maximum'"),
        ({"class_path": "polyscore.processes.VP", "init_args": [1]}, "expected a mapping of argument names"),
        ({"class_path": "polyscore.processes.Nothing"}, "has no class 'Nothing'"),
        ({"class_path": "polyscore.nowhere.VP"}, "there is no module polyscore.nowhere"),
        ({"class_path": 3}, "no dotted name"),
        ({"class_path": "tests.core.hub_models.Inner", "init_args": {"width": {"class_path": "os.system"}}}, "outside"),
        ({"class_path": "tests.core.hub_models.Picky", "init_args": {"width": 0}}, "cannot build .*Picky: width 0"),
        ({"class_path": "tests.core.hub_models.Picky"}, "needs the argument 'width'"),
    ],
)
def test_what_cannot_be_built_is_named(config: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        build(config, allow=ALLOW)


def test_the_place_of_a_nested_mistake_is_named() -> None:
    inner = {"class_path": "tests.core.hub_models.Picky", "init_args": {"width": 0}}
    with pytest.raises(ConfigError, match=r"Outer\.inner -> cannot build .*Picky"):
        build(
            {
                "class_path": "tests.core.hub_models.Outer",
                "init_args": {"inner": inner, "sizes": [], "table": {}, "name": ""},
            },
            allow=ALLOW,
        )


def test_only_allowed_packages_are_built() -> None:
    config = config_of(models.Inner(1))
    with pytest.raises(ConfigError, match="outside polyscore; if you trust it"):
        build(config)
    assert build(config, allow=("tests",)).width == 1
    with pytest.raises(ConfigError):  # a prefix ends at a dot
        build(config, allow=("tests.core.hub",))


def test_the_refusal_is_an_input_error_where_the_constructor_says_so() -> None:
    with pytest.raises(InputError, match="width 0"):
        models.Picky(0)
