"""SIGKILL at random moments, ten for each verb that works for long: no half-written file, and the command goes on to the end.

A moment is drawn over the time that a whole run takes; a run that ended before it is begun anew, and does not count.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.robustness.hostile import Shelf
from tests.robustness.hostile_shelf import wav
from tests.robustness.killing import start

from polyscore import hub

for name in ("soundfile", "rdkit", "gymnasium", "mujoco", "lightning", "jsonargparse"):
    pytest.importorskip(name)
pytestmark = pytest.mark.slow

KILLS = 10


def recordings(folder: Path) -> None:
    (folder / "noisy").mkdir()
    for i in range(12):
        wav(folder / "noisy" / f"{i}.wav", 3000 + 100 * i)


def configuration(folder: Path) -> None:
    from tests.apps.fit_runs import config

    config(folder, ("max_epochs: 4", "max_epochs: 12"))


RUNS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "sample": ("sample -n 24 --batch-size 2 --steps 6 --resume -o out", lambda folder: None),
    "molecules": ("molecules --model qm9 -n 12 --batch-size 2 --steps 6 --resume -o out", lambda folder: None),
    "enhance": ("enhance noisy -o out --model {enhancer} --preset fast --skip-existing", recordings),
    "rollout": ("rollout --model push-blocks --episodes 1 --sweep steps=1,2 cfg=1,1.5 --jobs 1 -o out", lambda folder: None),
    "fit": ("fit --config tiny.yaml -o out", configuration),
}
TIMED = {"report.json", "report.html", "sweep.png", "metrics.csv", "hparams.yaml", "last.ckpt", "config.yaml"}


@pytest.mark.parametrize("verb", RUNS)
def test_a_run_that_is_killed_again_and_again(verb: str, shelf: Shelf, tmp_path: Path) -> None:
    text, prepare = RUNS[verb]
    words = [*text.format(enhancer=shelf["enhancer"]).split(), "--device", "cpu", "--quiet"]
    whole, folder, moments = tmp_path / "whole", tmp_path / "killed", random.Random(verb)
    for place in (whole, folder):
        place.mkdir()
        prepare(place)
    start(words, whole).join()  # the server has imported everything then
    shutil.rmtree(whole / "out")
    begun = time.monotonic()
    assert ended(words, whole) == 0, said(whole)
    length, expected = time.monotonic() - begun, contents(whole / "out")
    kills = 0
    while kills < KILLS:
        process = start(words, folder)
        process.join(moments.uniform(0, length))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), said(folder)
        check(folder / "out", expected)
        if process.exitcode == 0:
            assert contents(folder / "out") == expected
            shutil.rmtree(folder / "out")
        kills += process.exitcode != 0
    assert ended(words, folder) == 0, said(folder)
    assert contents(folder / "out") == expected
    check(folder / "out", expected)


def ended(words: list[str], folder: Path) -> int | None:
    process = start(words, folder)
    process.join()
    return process.exitcode


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def contents(out: Path) -> dict[str, bytes]:
    """The files that do not depend on the time or on how often the run was begun."""
    files = (path for path in named(out) if path.is_file() and path.name not in TIMED and path.suffix != ".lock")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def named(out: Path) -> list[Path]:
    """What is there, without temporary names and what lies below them."""
    return [path for path in out.rglob("*") if not any(part.startswith(".polyscore-") for part in path.relative_to(out).parts)]


def check(out: Path, expected: dict[str, bytes]) -> None:
    """Every file that has its name is whole; what hides is a temporary name."""
    if not out.exists():
        return
    for name, content in contents(out).items():
        assert name in expected, name
        assert content == expected[name] or name.startswith(("model/", "logs/")), name
    for path in named(out):
        assert not path.name.startswith("."), path
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".ckpt":
            torch.load(path, weights_only=True)
        if path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
    if (out / "model").exists():
        hub.load(out / "model", allow=("tests",))
