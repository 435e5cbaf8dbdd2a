"""Save and load: bit-identical in every dtype, tied tensors stay tied, and what does not fit is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from tests.core import hub_models as models
from torch import Tensor, nn

from polyscore.errors import CheckpointError, ConfigError
from polyscore.hub import card_template, load, save, shipped
from polyscore.hub.card import card_fields
from polyscore.hub.shipped import find
from polyscore.hub.weights import read_header

ALLOW = ("tests.core.hub_models",)
DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex32", "complex64", "complex128"),
    *("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"),
)


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_round_trips_bit_by_bit(tmp_path: Path, name: str) -> None:
    model = models.Zoo([name], seed=3)
    model.fill()
    again = load(save(tmp_path / "m", model), allow=ALLOW)
    stored = getattr(again, f"a_{name}")
    assert stored.dtype is getattr(torch, name)
    assert bits(stored) == bits(getattr(model, f"a_{name}"))
    assert bits(again.linear.weight) == bits(model.linear.weight)


def test_parameters_keep_their_dtype_and_stay_trainable(tmp_path: Path) -> None:
    model = nn.Module.bfloat16(models.Zoo([]))
    again = load(save(tmp_path / "m", model), allow=ALLOW)
    assert again.linear.weight.dtype is torch.bfloat16
    assert isinstance(again.linear.weight, nn.Parameter)
    assert again.linear.weight.requires_grad
    assert bits(again.linear.weight) == bits(model.linear.weight)


def test_tied_tensors_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    model = models.Tied(4).double()
    again = load(save(tmp_path / "m", model), allow=ALLOW)
    assert set(read_header(tmp_path / "m" / "model.safetensors").tensors) == {"encoder.weight", "whole", "part"}
    assert again.decoder.weight is again.encoder.weight
    assert again.decoder.weight.dtype is torch.float64
    assert torch.equal(again.decoder.weight, model.decoder.weight)
    assert torch.equal(again.part, model.part)


def test_non_contiguous_and_transposed_weights(tmp_path: Path) -> None:
    model = models.Zoo([])
    model.linear.weight = nn.Parameter(torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).T)
    again = load(save(tmp_path / "m", model), allow=ALLOW)
    assert torch.equal(again.linear.weight, model.linear.weight)


def test_loading_leaves_the_global_random_state(tmp_path: Path) -> None:
    save(tmp_path / "m", models.Zoo([]))
    before = torch.random.get_rng_state()
    model = load(tmp_path / "m", allow=ALLOW)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    model = models.Tied()
    first, second = save(tmp_path / "a", model), save(tmp_path / "b", model)
    for name in ("config.json", "model.safetensors", "card.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_saving_over_a_save_replaces_it(tmp_path: Path) -> None:
    save(tmp_path / "m", models.Inner(1))
    save(tmp_path / "m", models.Inner(2), card="new")
    assert load(tmp_path / "m", allow=ALLOW).width == 2
    assert (tmp_path / "m" / "card.md").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_who_may_read_a_saved_model_is_the_users_choice(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = save(tmp_path / "m", models.Tied(4))
    finally:
        os.umask(before)
    assert {part.stat().st_mode & 0o777 for part in Path(path).iterdir()} == {0o666 & ~umask}


def test_the_configuration_says_who_wrote_it(tmp_path: Path) -> None:
    save(tmp_path / "m", models.Inner(1))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["format"] == 1
    assert set(config) == {"format", "polyscore", "class_path", "init_args"}


def test_a_failed_save_leaves_the_old_one(tmp_path: Path) -> None:
    save(tmp_path / "m", models.Inner(1))
    with pytest.raises(ConfigError):
        save(tmp_path / "m", models.Forgetful(2))
    assert load(tmp_path / "m", allow=ALLOW).width == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("linear.bias"), "lacks 'linear.bias'"),
        (lambda state: state.update(more=torch.zeros(1)), "also holds 'more'"),
        (lambda state: state.update({"linear.weight": torch.zeros(3, 6)}), r"'linear.weight' is \(3, 6\), expected \(3, 5\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: object, words: str) -> None:
    from safetensors.torch import load_file, save_file

    assert callable(change)
    folder = save(tmp_path / "m", models.Zoo([]))
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=words):
        load(folder, allow=ALLOW)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.LazyLinear(3), "has no shape yet"),
        (nn.Linear(2, 2, device="meta"), "meta device"),
    ],
)
def test_tensors_without_values_are_refused(tmp_path: Path, model: nn.Module, words: str) -> None:
    outer = models.Inner(1)
    outer.extra = model
    with pytest.raises(CheckpointError, match=words):
        save(tmp_path / "m", outer)
    assert list(tmp_path.iterdir()) == []


def test_a_sparse_buffer_is_refused(tmp_path: Path) -> None:
    model = models.Inner(1)
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    with pytest.raises(CheckpointError, match="'sparse' is sparse"):
        save(tmp_path / "m", model)


def test_a_name_that_is_neither_shipped_nor_a_folder() -> None:
    with pytest.raises(CheckpointError, match="there is no model 'no-such-model'"):
        load("no-such-model")


def test_shipped_models_are_found_by_name_without_their_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import polyscore

    save(tmp_path / "toys" / "models" / "tiny", models.Inner(5))
    monkeypatch.setattr(polyscore, "__path__", [*polyscore.__path__, str(tmp_path)])
    assert [model.name for model in shipped() if model.domain == "toys"] == ["tiny"]
    assert find("toys/tiny") == find("tiny") == tmp_path / "toys" / "models" / "tiny"
    monkeypatch.chdir(tmp_path)
    save("tiny", models.Inner(6))  # a folder of that name here does not hide the shipped model
    assert load("tiny", allow=ALLOW).width == 5
    assert load("./tiny", allow=ALLOW).width == 6


def test_a_card_holds_what_models_shows() -> None:
    card = card_template(
        "tiny",
        "Cleans: everything",
        data="FSDD (CC BY-SA 4.0)",
        licence="Apache-2.0",
        metrics={"SI-SDR (dB), n = 240": 5.8},
        command="polyscore fit --config x.yaml",
    )
    assert card_fields(card) == {"license": "apache-2.0", "summary": "Cleans: everything", "library_name": "polyscore"}
    for part in ("## Data\n\nFSDD", "| SI-SDR (dB), n = 240 | 5.8 |", "polyscore fit --config x.yaml", "Apache-2.0"):
        assert part in card
    assert card_fields("# no block") == {}
    assert card_fields("---\nopen: block") == {}
