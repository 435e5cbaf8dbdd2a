"""What the methods of editing and of guidance are tried on here: a shipped model and data of it."""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import Subject

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
