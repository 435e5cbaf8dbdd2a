"""Checkpoints of GDSS and MOOD, written here as the originals would, read without their code and without easydict."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyscore.cli.main import main
from polyscore.errors import CheckpointError, InputError
from polyscore.graphs import GraphGenerator, PropertyRegressor, ScoreNetworkA, ScoreNetworkX, upstream
from polyscore.processes import VE, VP

X = {"max_feat_num": 4, "depth": 1, "nhid": 4}
ADJ = {"max_feat_num": 4, "max_node_num": 9, "nhid": 4, "num_layers": 2, "num_linears": 2, "c_init": 2, "c_hid": 2, "c_final": 2}
ADJ |= {"adim": 4, "num_heads": 2}


def networks(seed: int) -> tuple[ScoreNetworkX, ScoreNetworkA]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ScoreNetworkX(**X), ScoreNetworkA(**ADJ, conv="GCN")


def content(dict_type: Any, data: str = "QM9") -> dict[str, Any]:
    (x, adj), (x2, adj2) = networks(1), networks(2)
    sde = {"x": {"type": "VP", "beta_min": 0.1, "beta_max": 1.0}, "adj": {"type": "VE", "beta_min": 0.2, "beta_max": 1.0}}
    return {
        "model_config": dict_type(data=dict_type(data=data), sde=dict_type(**{k: dict_type(**v) for k, v in sde.items()})),
        "params_x": {"model_type": "ScoreNetworkX", **X},
        "params_adj": {"model_type": "ScoreNetworkA", **ADJ, "conv": "GCN"},
        "x_state_dict": {f"module.{name}": value for name, value in x.state_dict().items()},
        "adj_state_dict": adj.state_dict(),
        "ema_x": {"decay": 0.999, "num_updates": 5, "shadow_params": [p.detach().clone() for p in x2.parameters()]},
        "ema_adj": {"decay": 0.999, "num_updates": 5, "shadow_params": [p.detach().clone() for p in adj2.parameters()]},
    }


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a file with the pickled class that the original puts into it; the class is gone when it is read."""
    module = types.ModuleType("easydict")
    stand_in = type("EasyDict", (dict,), {"__module__": "easydict"})
    module.EasyDict = stand_in  # type: ignore[attr-defined]

    def write(change: Callable[[dict[str, Any]], Any] = lambda made: None, **options: Any) -> Path:
        made = content(stand_in, **options)
        replaced = change(made)
        monkeypatch.setitem(sys.modules, "easydict", module)
        torch.save(made if replaced is None else replaced, tmp_path / "gdss.pth")
        monkeypatch.delitem(sys.modules, "easydict")
        return tmp_path / "gdss.pth"

    return write


def first(published: upstream.Published) -> torch.Tensor:
    return next(published.denoiser.parameters())


def test_names_processes_and_weights(save: Callable[..., Path]) -> None:
    published = upstream.read(save())
    process: Any = published.denoiser.process
    assert published.weights == "raw" and first(published).equal(next(networks(1)[0].parameters()))
    assert isinstance(process["x"], VP) and isinstance(process["adj"], VE)
    assert (process["x"].beta_max, process["adj"].sigma_min, process["adj"].sigma_max) == (1.0, 0.2, 1.0)
    assert published.denoiser.predicts == {"x": "eps", "adj": "score"}
    assert first(upstream.read(save(), weights="ema")).equal(next(networks(2)[0].parameters()))
    assert upstream.read(save(data="grid")).weights == "ema"  # the authors sampled with it
    generator = GraphGenerator.from_pretrained(save())
    assert generator.atoms == (6, 7, 8, 9) and generator.nodes == 9 and generator.sizes[9] == 100645


def test_own_data_sets_get_the_size_of_the_network(save: Callable[..., Path]) -> None:
    generator = GraphGenerator.from_pretrained(save(data="mine"))
    assert generator.nodes == 9 and generator.atoms == () and generator.draw_sizes([0]) == [9]


class Hostile:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def drop(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        for name in names:
            del made[name]

    return change


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        for name in path[:-1]:
            made = made[name]
        made[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("x_state_dict"), r"expected a checkpoint of GDSS \(params_x"),
        (put("params_x", "model_type", value="Transformer"), "its network is 'Transformer'; expected one of ScoreNetworkX"),
        (put("params_x", "nhid", value=10**9), "nhid is 1000000000; expected a whole number from 1 to 4096"),
        (put("params_adj", "c_hid", value=3), "it lacks 6 tensors"),
        (put("params_adj", "depth", value=3), "its settings make no model"),
        (put("model_config", "sde", "x", "type", value="Rough"), "its process of x is 'Rough'; expected one of VP, VE, subVP"),
        (put("x_state_dict", "module.layers.0.bias", value=torch.full((4,), float("nan"))), "layers.0.bias holds NaN"),
        (put("x_state_dict", "module.layers.0.bias", value=torch.zeros(5)), r"layers.0.bias is \(5,\), its settings give \(4,\)"),
        (put("x_state_dict", "extra", value=torch.zeros(5)), "it also holds 1 tensors"),
        (put("extra", value=Hostile()), "refused, because it names"),
        (lambda made: [1, 2], "holds a list; expected a mapping"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    save: Callable[..., Path], capsys: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        upstream.read(save(change))
    assert "executed" not in capsys.readouterr().out


def test_missing_averages_and_files(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no moving average"):
        upstream.read(save(drop("ema_x", "ema_adj")), weights="ema")
    with pytest.raises(CheckpointError, match="no such file"):
        upstream.read(tmp_path / "none.pth")
    path = save()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="is no torch checkpoint, or is cut off"):
        upstream.read(path)
    with pytest.raises(InputError, match="a saved model has one set"):
        GraphGenerator.from_pretrained(tmp_path, weights="raw")


def test_regressors(save: Callable[..., Path], tmp_path: Path) -> None:
    params = {"max_node_num": 9, "max_feat_num": 4, "depth": 2, "nhid": 4, "dropout": 0}
    own = PropertyRegressor(**params)
    path = save(lambda made: {"model_config": made["model_config"], "params": params, "state_dict": own.state_dict()})
    read = upstream.read_regressor(path)
    assert all(a.equal(b) for a, b in zip(read.parameters(), own.parameters(), strict=True))
    assert (upstream.describe(path) or {})["kind"] == "mood"
    with pytest.raises(CheckpointError, match="expected a regressor of MOOD"):
        upstream.read_regressor(save())


def test_info_tells_what_a_checkpoint_is(save: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = save()
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "GDSS" in shown and "QM9" in shown and "polyscore molecules --model" in shown
    torch.save({"a": torch.zeros(2)}, path)
    assert upstream.describe(path) is None
