"""Training of composers: the loss is the bound in nats, rows are hidden as often as said, a run learns and exports a composer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from tests.music.composers import chorales, midi_folder, small_composer, taught_composer

from polyscore.errors import ConfigError, InputError
from polyscore.hub import load, save
from polyscore.music import Composer
from polyscore.music.data import JsbData
from polyscore.music.data.chorales import chorale_grid, save_chorales
from polyscore.music.data.windows import Windows
from polyscore.music.grid import HIDDEN, Grid
from polyscore.music.metrics import nats_per_token
from polyscore.music.training import ComposerTraining, HideRows
from polyscore.training import Uniform
from polyscore.training.engine import assemble


def test_the_loss_is_the_cost_of_the_hidden_cells() -> None:
    """A model that says the same of every cell: whatever is hidden, a window's loss is a mean of known numbers."""
    logits = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    logits[:] = logits[:1, :1]
    composer = taught_composer(logits)
    module = ComposerTraining(composer, drop=None)
    tokens = torch.full((5, 2, 8), 62)
    losses, _ = module.losses({"x0": tokens, "cond": {}}, Uniform(), "test")
    torch.testing.assert_close(losses, torch.full((5,), -float(logits[0, 0, 2])), rtol=1e-5, atol=0)
    grid = Grid(np.full((2, 16), 62))
    value, error = nats_per_token(composer, [grid], draws=2)
    assert value == pytest.approx(-float(logits[0, 0, 2]), rel=1e-5) and error < 1e-6


def test_the_bound_of_an_even_law_is_its_entropy_with_voices_given_too() -> None:
    composer = taught_composer(torch.zeros(2, 8, 6))
    grid = Grid(np.random.default_rng(0).integers(60, 64, (2, 32)))
    for given in ((), (0,)):
        assert nats_per_token(composer, [grid], given=given)[0] == pytest.approx(math.log(6), rel=1e-6)


def test_rows_are_hidden_together_and_by_themselves() -> None:
    rows = {name: torch.ones(1000, 4, dtype=torch.long) for name in ("position", "fermata", "key", "mode")}
    hide = HideRows(shares={"fermata key mode": 0.3, "fermata": 0.2, "key mode": 0.1})
    out = hide(rows, torch.arange(1000) / 1000)
    gone = {name: (row == 0).all(1) for name, row in out.items()}
    assert [int(gone[name].sum()) for name in ("position", "fermata", "key", "mode")] == [0, 500, 400, 400]
    assert torch.equal(gone["key"], gone["mode"]) and int((gone["key"] & gone["fermata"]).sum()) == 300
    assert bool(rows["key"].all())  # the batch itself is as it was
    with pytest.raises(InputError, match="at most 1"):
        HideRows(shares={"key": 0.7, "mode": 0.4})


def test_tokens_and_categories_are_each_other_back() -> None:
    composer = small_composer()
    tokens = torch.tensor([[[40, 80, 128, 129, HIDDEN]]])
    assert composer.encode(tokens).tolist() == [[[0, 40, 41, 42, 43]]]
    assert torch.equal(composer.decode(composer.encode(tokens)), tokens)
    with pytest.raises(InputError, match="40 to 80"):
        composer.encode(torch.tensor([[[39]]]))
    rows = composer.known_rows({"position": torch.tensor([[1, 40]]), "tempo": torch.tensor([[1, 1]])})
    assert list(rows) == ["position"] and rows["position"].tolist() == [[1, 0]]


def test_it_learns_four_pieces_by_heart_and_comes_back_from_its_folder(tmp_path: Path) -> None:
    """Three windows of one piece: the cost of a cell falls far below that of guessing."""
    torch.manual_seed(0)
    grid = chorale_grid(chorales(1)[0])[:16]
    composer = small_composer()
    module = ComposerTraining(composer, drop=None)
    before = nats_per_token(composer, [grid])[0]
    optimiser = torch.optim.Adam(composer.parameters(), 0.01)
    batch = Windows([grid] * 8, 16).__getitems__(range(8))
    composer.train()
    for i in range(120):
        loss = module.losses(batch, module.times, "train", i)[0].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    composer.eval()
    after = nats_per_token(composer, [grid])[0]
    assert before > 3.0 and after < 0.8
    save(tmp_path / "model", composer)
    again = Composer.from_pretrained(tmp_path / "model")
    assert again.voices == composer.voices and nats_per_token(again, [grid])[0] == after


def test_the_shipped_configuration_trains_resumes_and_exports(tmp_path: Path) -> None:
    save_chorales(tmp_path / "c.npz", chorales(8))
    small = "--model.init_args.model.init_args.denoiser.init_args.network.init_args"
    words = [f"--data.init_args.cache={tmp_path / 'c.npz'}", "--data.init_args.held_out=2", "--data.init_args.per_epoch=4"]
    words += ["--data.init_args.batch_size=2", "--trainer.limit_val_batches=1", "--trainer.check_val_every_n_epoch=1"]
    words += [f"{small}.width=24", f"{small}.layers=1", f"{small}.heads=2", "--trainer.precision=32-true"]
    for epochs in (1, 2):
        run = assemble(
            ["configs/music/chorale.yaml"], folder=tmp_path / "run", overrides=[*words, f"--trainer.max_epochs={epochs}"]
        )
        assert isinstance(run.trainer, Trainer)
        with run.claim():
            assert run.fit(resume=run.last())
        assert run.trainer.global_step == 2 * epochs
    model = load(tmp_path / "run" / "model")
    assert isinstance(model, Composer) and model.voices == ("soprano", "alto", "tenor", "bass") and model.low == 34


def test_jsb_json_trains_with_its_configuration(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chords = np.sort(rng.integers(43, 82, (12, 5, 4)))[..., ::-1].repeat(4, axis=1)
    content = {part: chords.tolist() for part in ("train", "valid")}
    (tmp_path / "jsb.json").write_text(json.dumps(content))
    small = "--model.init_args.model.init_args.denoiser.init_args.network.init_args"
    words = [f"--data.init_args.path={tmp_path / 'jsb.json'}", "--data.init_args.batch_size=2", "--data.init_args.per_epoch=4"]
    words += ["--data.init_args.length=16", f"{small}.width=24", f"{small}.layers=1", f"{small}.heads=2"]
    words += ["--trainer.precision=32-true", "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1"]
    run = assemble(["configs/music/jsb.yaml"], folder=tmp_path / "run", overrides=words)
    with run.claim():
        assert run.fit()
    model = load(tmp_path / "run" / "model")
    assert isinstance(model, Composer) and model.new(1, count=1)[0].tokens.shape == (4, 16)
    with pytest.raises(InputError, match="take a smaller batch_size"):
        JsbData(str(tmp_path / "jsb.json"), 512, 16, shift=0).train_dataloader()
    with pytest.raises(InputError, match="no JSB chorales"):
        JsbData(str(tmp_path / "none.json")).train_dataloader()


def test_a_folder_of_midi_trains_with_its_configuration(tmp_path: Path) -> None:
    root = midi_folder(tmp_path / "POP909", 6)
    small = "--model.init_args.model.init_args.denoiser.init_args.network.init_args"
    words = [f"--data.init_args.root={root}", "--data.init_args.find=pop909", "--data.init_args.batch_size=2"]
    words += ["--data.init_args.per_epoch=4", "--data.init_args.workers=0", "--trainer.accelerator=cpu"]
    words += [f"{small}.width=24", f"{small}.layers=1", f"{small}.heads=2", "--trainer.precision=32-true"]
    run = assemble(["configs/music/folder.yaml"], folder=tmp_path / "run", overrides=[*words, "--trainer.max_epochs=1"])
    with run.claim():
        assert run.fit()
    model = load(tmp_path / "run" / "model")
    assert isinstance(model, Composer) and (model.voices, model.low, model.high) == (("melody", "bridge", "piano"), 0, 127)
    assert (root / ".polyscore-music.npz").exists()


def test_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="Composer"):
        ComposerTraining(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
