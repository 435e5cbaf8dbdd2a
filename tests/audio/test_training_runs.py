"""Runs of speech training: stopped and gone on with, and shared by two processes, they learn what one whole run learns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor

from polyscore.cli.main import main

CONFIG = Path(__file__).parents[2] / "configs" / "audio" / "sgmse_ouve.yaml"
NETWORK = "--model.init_args.enhancer.init_args.model.init_args.network.init_args"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pairs of half a second, and one for validation."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    time = np.arange(8000) / 16000
    for part, count in (("train", 8), ("valid", 1)):
        for number in range(count):
            clean = 0.3 * np.sin(2 * np.pi * (200 + 50 * number) * time)
            for kind, wave in (("clean", clean), ("noisy", clean + 0.05 * rng.standard_normal(8000))):
                (folder / part / kind).mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / part / kind / f"{number}.wav", wave, 16000)
    return folder


def words(pairs: Path, out: Path, *more: str) -> list[str]:
    """A run of the published configuration with a tiny network on 32 frequencies, two epochs."""
    return [
        "fit",
        "--config",
        str(CONFIG),
        "--out",
        str(out),
        *(f"{NETWORK}.{key}" for key in ("nf=4", "ch_mult=[1,1]", "num_res_blocks=1")),
        "--model.init_args.enhancer.init_args.codec.init_args.n_fft=62",
        "--model.init_args.enhancer.init_args.codec.init_args.hop=16",
        "--model.init_args.enhancer.init_args.frame_multiple=2",
        "--model.init_args.optimiser.learning_rate=1e-2",
        f"--data.init_args.path={pairs}",
        "--data.init_args.frames=16",
        "--data.init_args.hop=16",
        "--data.init_args.workers=0",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        *more,
    ]


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model" / "model.safetensors")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_that_goes_on_learns_what_a_whole_one_does(pairs: Path, tmp_path: Path) -> None:
    batch = "--data.init_args.batch_size=4"
    assert main(words(pairs, tmp_path / "whole", batch)) == 0
    assert main(words(pairs, tmp_path / "half", batch, "--trainer.max_epochs=1")) == 0
    half = weights(tmp_path / "half")
    assert main(words(pairs, tmp_path / "half", batch, "--resume")) == 0
    whole, rest = weights(tmp_path / "whole"), weights(tmp_path / "half")
    assert any(not torch.equal(whole[key], half[key]) for key in whole)
    for key, value in whole.items():
        assert torch.equal(rest[key], value), key


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_processes_learn_what_one_does_with_twice_the_batch(pairs: Path, tmp_path: Path, repository: Path) -> None:
    assert main(words(pairs, tmp_path / "one", "--data.init_args.batch_size=4")) == 0
    more = ("--data.init_args.batch_size=2", "--trainer.devices=2", "--trainer.strategy=ddp")
    done = subprocess.run(
        [sys.executable, "-m", "polyscore.cli.main", *words(pairs, tmp_path / "two", *more)],
        cwd=repository, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key, value in one.items():
        if key.endswith("NIN_1.b"):  # attention ignores a bias of its keys: Adam makes steps of what rounding leaves of a zero
            continue
        torch.testing.assert_close(two[key], value, rtol=0, atol=2e-5, msg=key)
