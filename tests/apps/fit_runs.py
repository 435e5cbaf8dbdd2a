"""A run of `polyscore fit` that takes a second, and ways to start it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["MODEL", "config", "fit", "start", "wait_for"]

MODEL = Path("model") / "model.safetensors"
_TEXT = """\
seed_everything: 3
model:
  class_path: polyscore.training.ScoreTraining
  init_args:
    model:
      class_path: polyscore.denoisers.Precondition
      init_args:
        network:
          class_path: tests.core.training_parts.Net
          init_args: {width: 16, dropout: 0.0}
        process: {class_path: polyscore.processes.Cosine}
        predicts: v
    objective: {class_path: polyscore.training.EpsLoss}
    times:
      class_path: polyscore.training.Stratified
      init_args:
        density:
          class_path: polyscore.training.Importance
          init_args: {intervals: 4, history: 4, mix: 0.2}
    drop: {rate: 0.25, value: 3}
    optimiser: {learning_rate: 0.01, warmup: 4, decay: cosine}
data:
  class_path: tests.core.training_parts.Tensors
  init_args: {count: 32, batch_size: 8}
trainer:
  accelerator: cpu
  devices: 1
  max_epochs: 4
  gradient_clip_val: 0.5
  log_every_n_steps: 1
  callbacks:
    - class_path: polyscore.training.EMA
      init_args: {profile: {class_path: polyscore.training.ema.Constant, init_args: {value: 0.9}}}
"""


def config(folder: Path, *changes: tuple[str, str], name: str = "tiny.yaml") -> Path:
    """The configuration with parts of its text replaced."""
    text = _TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def fit(file: Path, out: Path, *more: str) -> list[str]:
    """The words of the command."""
    return ["fit", "--config", str(file), "--out", str(out), "--quiet", *more]


def start(words: list[str], repository: Path) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps", "."))
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "polyscore.cli.main", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until the process has written the file."""
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run hangs"
        time.sleep(0.01)
