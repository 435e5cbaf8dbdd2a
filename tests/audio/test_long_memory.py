"""The memory of the command does not grow with the recording."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polyscore.audio.io import AudioFormat, write

SCRIPT = """
import resource, sys
from polyscore.cli.main import main
code = main(["enhance", sys.argv[1], "-o", sys.argv[2], "--quiet", "--device", "cpu"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 if code == 0 else code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_ten_minutes_take_300_mb_more_than_ten_seconds(tmp_path: Path) -> None:
    peak = []
    for seconds in (10, 600):
        source = tmp_path / f"{seconds}.wav"
        wave = 0.1 * torch.randn(1, seconds * 16000, generator=torch.Generator().manual_seed(0))
        write(source, wave, AudioFormat(16000, 1))
        command = [sys.executable, "-c", SCRIPT, str(source), str(tmp_path / f"out-{seconds}.wav")]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        peak.append(float(answer.stdout))
    assert peak[1] - peak[0] < 300


BLEND = """
import resource, sys
import torch
from polyscore.audio import SpeechEnhancer
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.processes import OUVE
torch.set_num_threads(1)
class Net(torch.nn.Module):
    def forward(self, x, t):
        return 0.5 * x[:, :1] + 0.5 * x[:, 1:]
enhancer = SpeechEnhancer(SpectrogramDenoiser(Net(), OUVE(), predicts="x0"), codec=SpectrogramCodec())
wave = 0.1 * torch.randn(int(sys.argv[1]) * 16000, generator=torch.Generator().manual_seed(0))
enhancer.enhance(wave, 16000, steps=2, seams="blend")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
def test_blended_windows_share_a_state_of_bounded_size() -> None:
    peak = [
        float(subprocess.run([sys.executable, "-c", BLEND, seconds], capture_output=True, text=True, check=True).stdout)
        for seconds in ("10", "600")
    ]
    assert peak[1] - peak[0] < 300
