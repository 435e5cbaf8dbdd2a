"""The editing package on point clouds: places of points under one label and under another."""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import CELLS, Record, Subject, edit

from polyscore.editing import invert, null_text
from polyscore.guidance import CFG
from polyscore.samplers import DDIM, sample
from polyscore.state import Given


@pytest.mark.parametrize("name", list(CELLS))
def test_methods(name: str, clouds: Subject, record_property: Record) -> None:
    edit(name, clouds, record_property)


def test_null_text(clouds: Subject, record_property: Record) -> None:
    """Guidance of 4 leads back to the cloud: squared error against that of plain guidance."""
    labels = clouds.modules[0].labels

    def unknown(given: Given) -> Given:
        return Given(cond={"labels": torch.tensor(labels).expand_as(given.cond["labels"])})

    with torch.no_grad():
        path = invert(clouds.denoiser, clouds.process, clouds.x, **clouds.run)
    table = clouds.modules[0].words[0]  # type: ignore[index]
    kwargs: dict[str, object] = {"null": unknown, "scale": 4.0, "iterations": 4, "rate": 0.2, "given": clouds.source}
    found = null_text(clouds.denoiser, clouds.process, path, table, **kwargs)  # type: ignore[arg-type]
    with torch.no_grad():
        errors = [
            float((sample(DDIM(), model, clouds.process, clouds.x, init=path.states[0], **clouds.run) - clouds.x).square().mean())
            for model in (found, CFG(clouds.denoiser, unknown, 4.0, passes=2))
        ]
    record_property("null-text", f"{errors[0] / errors[1]:.2g}")
    assert errors[0] < 0.5 * errors[1]
