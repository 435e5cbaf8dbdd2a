"""The methods of guidance on clips, the shipped model of moving digits.

Without attention between frames this model denoises as well (1.00 of the error), so perturbed attention has no direction here.
"""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import Record
from tests.guidance_cells import CELLS, Subject, guide

from polyscore.state import Given
from polyscore.video import Animator
from polyscore.video.data import MovingDigits


@pytest.fixture(scope="module")
def clips() -> Subject:
    model = Animator.from_pretrained("moving-digits").double().requires_grad_(False)
    film = MovingDigits(frames=4, size=(16, 16), digits=(1, 1))(range(2)).film.double()
    cond = [{"strength": torch.full((2,), speed, dtype=torch.float64)} for speed in (0.5, 3.0)]
    denoiser = model.denoiser
    return Subject(denoiser, denoiser.process, film, Given(cond=cond[0]), Given(cond=cond[1]), (denoiser,))


@pytest.mark.parametrize("name", [name for name in CELLS if name != "perturbed attention"])
def test_methods(name: str, clips: Subject, record_property: Record) -> None:
    guide(name, clips, record_property)
