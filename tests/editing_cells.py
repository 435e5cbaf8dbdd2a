"""What every domain's models and data go through: the editing package, and the number that each method is held to.

Models and data are in float64, so that what is exact shows as such; `source` and `target` are two conditions of the same data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from polyscore.editing import (
    BDIA,
    EDICT,
    DirectInversion,
    UniformAttention,
    code,
    decode,
    dpm_encoder,
    edit_friendly,
    encode,
    halves,
    infedit,
    invert,
    joined,
    noise_diffusion,
    sdedit,
    slerp,
)
from polyscore.guidance.stacking import stack
from polyscore.samplers import DDIM, sample
from polyscore.state import Given, map_state

__all__ = ["CELLS", "Cell", "Record", "Subject", "edit"]

Record = Callable[[str, object], None]


class Subject(NamedTuple):
    """A model of a domain, and data of it (B, ...), B at least 2."""

    denoiser: Any
    process: Any
    x: Any
    source: Given
    target: Given
    modules: Sequence[nn.Module] = ()
    steps: int = 6

    @property
    def grid(self) -> list[float]:
        """From .95, where flow matching still holds some data, to 0."""
        return [*torch.linspace(0.95, 0.05, self.steps).tolist(), 0.0]

    @property
    def run(self) -> dict[str, Any]:
        """Arguments of every run on the source's condition."""
        return {"steps": self.steps, "grid": self.grid, "given": self.source}


def apart(a: Any, b: Any) -> float:
    """The largest difference of an entry."""
    gaps = map_state(lambda x, y: (x - y).abs().amax(), a, b)
    return max(float(v) for v in gaps.values()) if isinstance(gaps, Mapping) else float(gaps)


def rows(state: Any) -> int:
    """B."""
    return len(next(iter(state.values())) if isinstance(state, Mapping) else state)


def pair(s: Subject, first: Given, second: Given) -> Given:
    """Two conditions for a batch of pairs."""
    return Given(*stack(tuple(first), tuple(second), rows(s.x)))


def of_bdia(s: Subject) -> float:
    """Round trip."""
    return apart(decode(BDIA(), s.denoiser, s.process, encode(BDIA(), s.denoiser, s.process, s.x, **s.run), **s.run), s.x)


def of_edict(s: Subject) -> float:
    """Round trip."""
    return apart(decode(EDICT(), s.denoiser, s.process, encode(EDICT(), s.denoiser, s.process, s.x, **s.run), **s.run), s.x)


def of_ddim(s: Subject) -> float:
    """Error of DDIM inversion and back with twice the steps, relative to that with them: first order is about 1/2."""
    errors = []
    for one in (s, s._replace(steps=2 * s.steps)):
        path = invert(one.denoiser, one.process, one.x, **one.run)
        back = sample(DDIM(), one.denoiser, one.process, one.x, init=path.states[0], **one.run)
        gaps = map_state(lambda a, b: (a - b).abs().square().sum(), back, one.x)
        errors.append(float(sum(gaps.values()) if isinstance(gaps, Mapping) else gaps))
    return math.sqrt(errors[1] / errors[0])


def of_maps(s: Subject, encoder: Any) -> float:
    """Replayed, and not what another condition gives unless the model knows none."""
    maps = encoder(s.denoiser, s.process, s.x, noise=3, **s.run)
    if s.target is not s.source:
        assert apart(maps.replay(s.denoiser, s.process, given=s.target), s.x) > 1e-4
    return apart(maps.replay(s.denoiser, s.process, given=s.source), s.x)


def of_infedit(s: Subject) -> float:
    """The same condition: exactly the source; another one is not."""
    run = {**s.run, "given": pair(s, s.source, s.source)}
    if s.target is not s.source:
        assert apart(infedit(s.denoiser, s.process, s.x, **{**run, "given": pair(s, s.source, s.target)}), s.x) > 1e-4
    return apart(infedit(s.denoiser, s.process, s.x, **run), s.x)


def of_direct(s: Subject) -> float:
    """The source, though its steps are made under the other condition."""
    path = invert(s.denoiser, s.process, s.x, **s.run)
    both, run = joined(path.states[0], path.states[0]), {**s.run, "given": pair(s, s.target, s.target)}
    rule = DirectInversion(s.denoiser, s.process, path)
    return apart(halves(sample(DDIM(), rule, s.process, both, init=both, **run))[0], s.x)


def of_sdedit(s: Subject) -> float:
    """How far a gentle edit goes, relative to a strong one."""

    def far(strength: float) -> float:
        return apart(sdedit(DDIM(), s.denoiser, s.process, s.x, strength=strength, noise=1, **s.run), s.x)

    return far(0.15) / far(s.grid[0])


def of_slerp(s: Subject) -> float:
    """Through exact latents: the first of the data at weight 0; a hundredth of the way is nearer to it than half of the way."""
    latent = encode(BDIA(), s.denoiser, s.process, s.x, **s.run)
    other = tuple(map_state(lambda leaf: leaf.flip(0), part) for part in latent)

    def made(weight: float) -> Any:
        between = tuple(slerp(a, b, weight) for a, b in zip(latent, other, strict=True))
        return decode(BDIA(), s.denoiser, s.process, between, **s.run)

    assert apart(made(0.01), s.x) < apart(made(0.5), s.x)
    return apart(made(0.0), s.x)


def of_noise_diffusion(s: Subject) -> float:
    """At its ends it is DDIM inversion and back; in the middle the latents' scale is kept."""
    path = invert(s.denoiser, s.process, s.x, **s.run)
    z, flipped = path.states[0], path.states[0].flip(0)
    kwargs: Any = {"t": path.times[0], "bound": 100.0}
    middle = noise_diffusion(s.process, (z, flipped), (s.x, s.x.flip(0)), 0.5, **kwargs)
    assert 0.5 < float(middle.std() / z.std()) < 1.5
    return apart(noise_diffusion(s.process, (z, flipped), (s.x, s.x.flip(0)), 0.0, signal=1.0, **kwargs), z)


def of_code(s: Subject) -> float:
    """Data with noise that no data have: what the model would take away, after against before."""
    signs = torch.randn(s.x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).sign()
    damaged = s.x + 0.3 * signs

    def rest(x: Tensor) -> float:
        return float((x - s.denoiser(x, 0.1, s.source).x0).square().mean())

    run = {**s.run, "start": 0.3}
    return rest(code(s.denoiser, s.process, damaged, updates=15, rate=0.1, width=3.0, **run)) / rest(damaged)


def of_uniform(s: Subject) -> float:
    """What uniform attention changes of a prediction, in units of its size; afterwards the model is what it was."""
    x = s.process.perturb(s.x, 0.5, given=s.source, noise=1).x
    before = s.denoiser(x, 0.5, s.source).x0
    within = UniformAttention(s.denoiser, s.modules)(x, 0.5, s.source).x0
    assert apart(s.denoiser(x, 0.5, s.source).x0, before) == 0.0
    size = map_state(lambda leaf: leaf.abs().amax(), before)
    return apart(within, before) / (max(float(v) for v in size.values()) if isinstance(size, Mapping) else float(size))


class Cell(NamedTuple):
    """A method, its number, and between what it has to be."""

    number: Callable[[Subject], float]
    low: float
    high: float


CELLS = {
    "sdedit": Cell(of_sdedit, 0.0, 0.8),
    "ddim inversion": Cell(of_ddim, 0.0, 0.9),
    "bdia": Cell(of_bdia, 0.0, 1e-10),
    "edict": Cell(of_edict, 0.0, 1e-6),
    "edit friendly": Cell(lambda s: of_maps(s, edit_friendly), 0.0, 1e-9),
    "dpm encoder": Cell(lambda s: of_maps(s, dpm_encoder), 0.0, 1e-9),
    "infedit": Cell(of_infedit, 0.0, 0.0),
    "direct inversion": Cell(of_direct, 0.0, 1e-9),
    "slerp of latents": Cell(of_slerp, 0.0, 1e-10),
    "noise diffusion": Cell(of_noise_diffusion, 0.0, 1e-10),
    "code": Cell(of_code, 0.0, 0.9),
    "uniform attention": Cell(of_uniform, 1e-6, 10.0),
}


@torch.no_grad()
def edit(name: str, subject: Subject, record: Record) -> None:
    """Run one cell and note its number."""
    cell = CELLS[name]
    found = cell.number(subject)
    record(name, f"{found:.2g}")
    assert cell.low <= found <= cell.high, f"{name}: {found}"
