"""What the methods of editing and of guidance are tried on here: a shipped model and data of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.editing_cells import Subject

from polyscore.audio import SpeechEnhancer


@pytest.fixture(scope="module")
def speech() -> Subject:
    enhancer = SpeechEnhancer.from_pretrained("storm-16k").double().requires_grad_(False)
    codec: Any = enhancer.codec
    t, g = torch.arange(2000, dtype=torch.float64) / 16000, torch.Generator().manual_seed(0)
    clean = torch.stack([torch.sin(2 * torch.pi * f * t) + torch.sin(6 * torch.pi * f * t) / 3 for f in (110, 190)]) * 0.2
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=g, dtype=torch.float64)
    x, y = (torch.stack([codec.encode(wave) for wave in waves])[:, None].to(torch.complex128) for waves in (clean, noisy))
    model: Any = enhancer.model
    with torch.no_grad():
        given = model.given(y)
    return Subject(model, model.process, x, given, given, (model.denoiser,), steps=4)
