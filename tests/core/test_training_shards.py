"""Generation in shards: resumable, the same bits in one process or two, and gathered in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.core.predict_in_processes import COUNT, SIZE, generate

from polyscore.errors import CheckpointError, InputError
from polyscore.training import Shards, gather


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    generate(folder, 1)
    return folder


def test_two_processes_write_what_one_writes(single: Path, tmp_path: Path, repository: Path) -> None:
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps", "."))
    command = [sys.executable, "-m", "tests.core.predict_in_processes", str(tmp_path), "2"]
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, two = gather(single), gather(tmp_path)
    assert torch.equal(two["x"], one["x"])
    assert torch.equal(two["item"], torch.arange(COUNT))
    assert not one["process"].any()
    assert bool(two["process"].all())  # they were two
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in single.iterdir())


def test_a_run_with_shards_missing_makes_those_alone(single: Path, tmp_path: Path) -> None:
    generate(tmp_path, 1)
    shards = Shards(tmp_path, COUNT, SIZE, {"seed": 100})
    for lost in (3, 12):
        shards.path(lost).unlink()
    kept = {shard: shards.path(shard).stat().st_mtime_ns for shard in range(len(shards)) if shard not in (3, 12)}
    with pytest.raises(CheckpointError, match="2 of 13 shards are missing, the first is 3"):
        gather(tmp_path)
    assert shards.missing() == [3, 12]
    generate(tmp_path, 1)
    assert torch.equal(gather(tmp_path)["x"], gather(single)["x"])
    assert {shard: shards.path(shard).stat().st_mtime_ns for shard in kept} == kept


def test_the_settings_of_a_folder_are_kept(single: Path) -> None:
    with pytest.raises(InputError, match="was begun with seed = 100, this run has 101"):
        Shards(single, COUNT, SIZE, {"seed": 101}).create()
    with pytest.raises(InputError, match="was begun with size = 4, this run has 5"):
        Shards(single, COUNT, 5, {"seed": 100}).create()
    with pytest.raises(InputError, match="settings named size"):
        Shards(single, COUNT, SIZE, {"size": "7-9"})


def test_wrong_rows_and_damaged_files_are_named(tmp_path: Path) -> None:
    shards = Shards(tmp_path, 5, 2, {})
    assert [list(shards.items(shard)) for shard in range(len(shards))] == [[0, 1], [2, 3], [4]]
    with pytest.raises(InputError, match=r"shard 2: x has shape \(2, 3\), expected 1 rows"):
        shards.write(2, {"x": torch.zeros(2, 3)})
    with pytest.raises(CheckpointError, match="holds no shards.json"):
        gather(tmp_path)
    shards.create()
    for shard in range(3):
        shards.write(shard, {"x": torch.zeros(len(shards.items(shard)))})
    shards.path(1).write_bytes(shards.path(1).read_bytes()[:20])
    with pytest.raises(CheckpointError, match="shard-000001.safetensors cannot be read"):
        gather(tmp_path)
    (tmp_path / "shards.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a mapping with count and size"):
        gather(tmp_path)
