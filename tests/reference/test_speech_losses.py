"""The training losses of the original SGMSE+ and StoRM code, on their checkpoints (numbers in the reference folder)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.audio import SpeechEnhancer, upstream
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.networks import NCSNpp
from polyscore.audio.training import HalfSum, Regeneration, SpeechTraining
from polyscore.noise import Recorded
from polyscore.processes import OUVE
from polyscore.state import Given
from polyscore.training.objectives import ScoreMatching
from polyscore.training.weightings import Variance

SCORE = ScoreMatching(Variance())


def read(path: Path) -> Mapping[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def spec(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.view_as_complex(torch.from_numpy(np.ascontiguousarray(array)))


@torch.no_grad()
def test_score_matching_of_sgmse(reference: Path) -> None:
    golden = read(reference / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8_golden.npz")
    model = upstream.read(reference / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8.ckpt").model
    x0, y, z = (spec(golden[name]) for name in ("X", "Y", "z"))
    time = torch.tensor([float(golden["t"].squeeze())], dtype=torch.float64)
    loss = HalfSum(SCORE)(model, model.process, x0, t=time, given=model.given(y), noise=Recorded([z]))
    assert float(loss) == pytest.approx(float(golden["loss_score_matching"]), rel=1e-4)


def test_training_goes_on_from_a_published_checkpoint(reference: Path) -> None:
    path = reference / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8.ckpt"
    published = upstream.read(path).settings()
    before = published["model"].state_dict()
    settings = {**published, "model": SpectrogramDenoiser(NCSNpp(nf=8), OUVE(), c_out="-1")}
    module = SpeechTraining(SpeechEnhancer(**settings), HalfSum(SCORE), start=str(path))
    after = module.enhancer.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert len(before) == len(after)


@torch.no_grad()
def test_joint_training_of_storm(reference: Path) -> None:
    golden = read(reference / "audio" / "golden" / "storm_storm_nf8_golden.npz")
    model = upstream.read(reference / "audio" / "golden" / "storm_storm_nf8.ckpt").model
    x0, y, z = (spec(golden[name]) for name in ("X", "Y", "z"))
    time = torch.tensor([float(golden["t"].squeeze())], dtype=torch.float64)

    def loss(share: float, given: Given) -> float:
        objective = HalfSum(Regeneration(SCORE, share))
        return float(objective(model, model.process, x0, t=time, given=given, noise=Recorded([z])))

    given = model.given(y)
    for share, name in ((0.0, "loss_score"), (1.0, "loss_denoiser"), (0.5, "loss_total")):
        assert loss(share, given) == pytest.approx(float(golden[name]), rel=1e-4), name
