"""Two processes: they learn what one learns with twice the batch, and write the shards that one writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.scale.predict import COUNT, JOBS

from polyscore.cli.main import main
from polyscore.training import gather

for name in ("rdkit", "soundfile", "lightning", "jsonargparse"):
    pytest.importorskip(name)
pytestmark = pytest.mark.slow

# Of four heavy atoms each: a batch is cut to its largest molecule, and noise has the shape of the batch.
SMILES = ["CCCO", "CC(=O)N", "CNCC", "C1CCC1", "OCCO", "CC(C)C", "N#CCC", "COCC", "NCC=O", "CC#CC", "FCCF", "CCCN"]
CONFIGS = {
    "smiles": ("ddp", [f"--model.init_args.{key}" for key in ("width=16", "pair_width=8", "heads=2", "layers=1")]),
    "gdss_qm9": ("ddp_find_unused_parameters_true", []),  # the published network has a layer of which nothing is used
}


def started(*words: str, repository: Path) -> None:
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps", "."))
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_learn_graphs_as_one_does_with_twice_the_batch(name: str, tmp_path: Path, repository: Path) -> None:
    (tmp_path / "all.smi").write_text("\n".join(SMILES * 3))

    def words(out: str, batch: int, *more: str) -> list[str]:
        data = [f"--data.init_args.{key}" for key in (f"path={tmp_path / 'all.smi'}", f"batch_size={batch}", "share=0.9")]
        run = ["fit", "--config", f"graphs/{name}", "--out", str(tmp_path / out), "--quiet", *CONFIGS[name][1], *data]
        return [*run, "--trainer.max_epochs=2", "--trainer.accelerator=cpu", *more]

    assert main(words("one", 8)) == 0
    more = ("--trainer.devices=2", f"--trainer.strategy={CONFIGS[name][0]}")
    started("polyscore.cli.main", *words("two", 4, *more), repository=repository)
    one, two = (load_file(tmp_path / out / "model" / "model.safetensors") for out in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=2e-5, msg=key)


@pytest.mark.parametrize("job", JOBS)
def test_two_processes_write_the_shards_of_one(job: str, tmp_path: Path, repository: Path) -> None:
    for processes in (1, 2):
        started("tests.scale.predict", job, str(tmp_path / str(processes)), str(processes), repository=repository)
    one, two = gather(tmp_path / "1"), gather(tmp_path / "2")
    assert one["item"].tolist() == list(range(COUNT))
    assert not one.pop("process").any() and two.pop("process").all()
    for key, value in one.items():
        assert torch.equal(value, two[key]), key
