r"""Discrete processes: every cell keeps its category, is replaced by a random one, or becomes MASK.

A process writes one method, `coefs(t)`, the three shares A + B + C = 1 of

    q(x_t | x0) = A_t delta(x0) + B_t pi + C_t delta(MASK),

and everything else follows. pi is a fixed law of the N categories (uniform, or that of the data); MASK is category N and stays.
From u to t, u < t, a cell that is not MASK keeps its category with k = A_t / A_u, becomes MASK with c = (C_t - C_u) / (1 - C_u),
and is replaced with b = 1 - k - c. So a kernel is three numbers and pi, never a K x K table. With r(x0) = p(x0) / q(x_t | x0),
R = sum r, and p the model's, the reverse step is

    p(x_u = i | x_t) = q(x_t | x_u = i) (A_u r(i) + B_u pi(i) R),      p(x_u = MASK | x_t) = [x_t = MASK] C_u R.

The draw needs less: a MASK stays with probability C_u / C_t whatever the model says, and a cell that does not is x0 ~ p, or with
B_u / (A_u + B_u) a draw from pi; a cell that is not MASK draws x0 ~ p and then stays, becomes x0 or is drawn from pi, in the
proportions  k (A_u [x0 = x_t] + B_u pi(x_t)) : b pi(x_t) A_u : b pi(x_t) B_u.  Position and category are thus separate draws, in
float64.

Cells outside `given.mask` (a bool or 0/1 tensor whose shape begins that of the state) are known or absent: they are neither
noised nor changed, and `prior` takes them from `like`. Noise that several cells share (a symmetric law) makes them one cell.

Sources: Austin et al. 2021 (D3PM), arXiv 2107.03006; Gu et al. 2022 (VQ-Diffusion), arXiv 2111.14822; Campbell et al. 2022
(rates), arXiv 2205.14987.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.noise import NoiseLaw, NoiseLike, Normal, as_noise
from polyscore.processes.base import Perturbed
from polyscore.processes.discrete.rows import draw, draw_rows, supported, uniforms
from polyscore.processes.gaussian import expand
from polyscore.state import NONE, Given, LeafTime

__all__ = ["CategoricalProcess", "Shares"]


class Shares(NamedTuple):
    """What becomes of a cell: it keeps its category, is replaced by a draw from pi, or is MASK; the three add up to 1."""

    keep: Tensor
    replace: Tensor
    mask: Tensor


class CategoricalProcess(ABC):
    """q(x_t | x0) = A delta(x0) + B pi + C delta(MASK), t in [0, 1] from data to noise. Subclasses are frozen dataclasses.

    States are int64 tensors (B, ...) with entries 0..N-1, and N for MASK where the process `masks`.

    Attributes:
        classes: N, the number of categories without MASK.
        masks: whether C > 0.
        replaces: whether B > 0.
        law: which cells share their noise and which have none.
    """

    classes: int
    masks: bool
    replaces: bool
    law: NoiseLaw = Normal()

    @abstractmethod
    def coefs(self, t: Tensor) -> Shares:
        """A, B, C at time t, each of t's shape."""

    def stationary(self) -> Tensor:
        """pi (N,), float64: uniform unless a process says otherwise."""
        return torch.full((self.classes,), 1 / self.classes, dtype=torch.float64)

    def default_grid(self, n: int) -> Tensor:
        """n + 1 times, uniform in t."""
        return torch.linspace(1, 0, n + 1, dtype=torch.float64)

    # --- everything below is derived ---

    @property
    def mask_token(self) -> int:
        """The category MASK: N."""
        return self.classes

    @property
    def tokens(self) -> int:
        """How many categories a state can have: N, or N + 1 with MASK."""
        return self.classes + self.masks

    def coefs_of(self, t: LeafTime) -> Shares:
        """`coefs` in float64 for a number or a tensor."""
        return self.coefs(torch.as_tensor(t, dtype=torch.float64))

    def rates(self, t: LeafTime) -> Shares:
        """Time derivatives A', B', C', by forward differentiation of `coefs`."""
        t64 = torch.as_tensor(t, dtype=torch.float64)
        slopes = torch.func.jvp(lambda time: tuple(self.coefs(time)), (t64,), (torch.ones_like(t64),))[1]
        return Shares(*slopes)

    def kernel(self, t: LeafTime, u: LeafTime = 0.0) -> Shares:
        """k, b, c of the step from u to t, u <= t, for a cell that is not MASK at u."""
        now, earlier = self.coefs_of(t), self.coefs_of(u)
        keep = torch.where(earlier.keep > 0, now.keep / earlier.keep.clamp(min=1e-300), torch.zeros_like(now.keep))
        mask = (now.mask - earlier.mask) / (1 - earlier.mask).clamp(min=1e-300) if self.masks else torch.zeros_like(keep)
        return Shares(keep, (1 - keep - mask).clamp(min=0) if self.replaces else torch.zeros_like(keep), mask)

    def matrix(self, t: LeafTime, u: LeafTime = 0.0) -> Tensor:
        """q(x_t = j | x_u = i) as a table [i, j] of `tokens` rows, for small vocabularies and tests; t and u numbers."""
        keep, replace, mask = self.kernel(t, u)
        table = keep * torch.eye(self.classes, dtype=torch.float64) + replace * self.stationary()
        if not self.masks:
            return table
        wide = torch.cat([table, mask.expand(self.classes, 1)], 1)
        return torch.cat([wide, functional.one_hot(torch.tensor([self.mask_token]), self.tokens).double()])

    def time_at_mask(self, share: LeafTime) -> Tensor:
        """The time at which C = share, by bisection on [0, 1] (64 halvings; a share outside the range gives an end)."""
        target = torch.as_tensor(share, dtype=torch.float64)
        lo, hi = torch.zeros_like(target), torch.ones_like(target)
        for _ in range(64):
            mid = (lo + hi) / 2
            below = self.coefs(mid).mask < target
            lo, hi = torch.where(below, mid, lo), torch.where(below, hi, mid)
        return hi

    def free(self, like: Tensor, given: Given = NONE) -> Tensor:
        """(B, ...) bool: the cells that the process may change.

        Raises:
            InputError: a mask whose shape does not begin that of the state.
        """
        moves = supported(self.law, like, given)
        mask = given.mask
        if mask is None:
            return moves
        if not isinstance(mask, Tensor) or mask.shape != like.shape[: mask.ndim]:
            found = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise InputError(
                f"{type(self).__name__}: given.mask is {found}, the state has shape {tuple(like.shape)}; expected a mask whose "
                "shape begins that of the state"
            )
        return moves & mask.bool().view(*mask.shape, *[1] * (like.ndim - mask.ndim))

    def prior(self, like: Tensor, *, t: float = 1.0, given: Given = NONE, noise: NoiseLike = 0) -> Tensor:
        """MASK with probability C / (B + C), else a draw from pi; cells that are not free keep their value in `like`."""
        self._check_state(like)
        source, out = as_noise(noise), torch.full_like(like, self.mask_token)
        if self.replaces:
            _, replace, mask = self.coefs_of(t)
            gate = uniforms(self.law, source, like, given)
            fresh = self._fresh(uniforms(self.law, source, like, given))
            out = torch.where(gate < (mask / (mask + replace)).to(gate), out, fresh)
        return torch.where(self.free(like, given), out, like)

    def perturb(self, x0: Tensor, t: LeafTime, *, given: Given = NONE, noise: NoiseLike = 0) -> Perturbed:
        """A draw of x_t given x0 (B, ...); t a number, or a tensor aligned with x0's leading axes."""
        self._check_state(x0)
        source = as_noise(noise)
        time = torch.as_tensor(t, dtype=torch.float64)
        keep, _, mask = (expand(c, time, x0) for c in self.coefs(time))
        gate = uniforms(self.law, source, x0, given)
        x = torch.where(gate < keep, x0, self.mask_token) if self.masks else x0
        if self.replaces:
            fresh = self._fresh(uniforms(self.law, source, x0, given))
            x = torch.where(gate >= keep + mask, fresh, x)
        return Perturbed(torch.where(self.free(x0, given), x, x0), None)

    def likelihood(self, x: Tensor, t: LeafTime) -> Tensor:
        """q(x_t | x0 = k) of the state x (B, ...) for every k, (B, ..., N), float64."""
        pi = self.stationary().to(x.device)
        a, b, c = self._along(self._now, x, t, t)
        here = functional.one_hot(x.clamp(max=self.classes - 1), self.classes).double()
        return torch.where((x == self.mask_token).unsqueeze(-1), c, a * here + b * (here * pi).sum(-1, keepdim=True))

    def posterior(self, x: Tensor, x0: Tensor, t: LeafTime, u: LeafTime) -> Tensor:
        """p(x_u = . | x_t), (B, ..., tokens), float64, differentiable in logits.

        A category that x_t rules out (q(x_t | x0) = 0) counts as if the model had given it no probability; where none is left,
        x_u = x_t.

        Args:
            x: state (B, ...).
            x0: logits (B, ..., N), or the data itself, int64 (B, ...).
            t: time of x, a number or a tensor aligned with x's leading axes.
            u: an earlier time.
        """
        if x0.is_floating_point():
            p = x0.double().softmax(-1)
        else:
            p = functional.one_hot(x0, self.classes).double()
        pi = self.stationary().to(x.device)
        (au, bu, cu), (k, r, m) = (self._along(f, x, t, u) for f in (self._earlier, self.kernel))
        hidden = (x == self.mask_token).unsqueeze(-1)
        here = functional.one_hot(x.clamp(max=self.classes - 1), self.classes).double()
        at = (here * pi).sum(-1, keepdim=True)
        seen = self.likelihood(x, t)
        ratio = torch.where(seen > 0, p / seen.clamp(min=1e-300), 0.0)
        total = ratio.sum(-1, keepdim=True)
        out = torch.where(hidden, m, k * here + r * at) * (au * ratio + bu * pi * total)
        if self.masks:
            out = torch.cat([out, hidden * cu * total], -1)
            here = functional.one_hot(x, self.tokens).double()
        norm = out.sum(-1, keepdim=True)
        return torch.where(norm > 0, out / norm.clamp(min=1e-300), here)

    def transition(
        self, x: Tensor, prediction: Any, t: LeafTime, u: LeafTime, *, eta: float = 1.0, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        """A draw of x_u given x_t and the prediction of x0 (logits (B, ..., N) or `Rows`).

        Only the rows of cells that may change are asked for; where none changes, `prediction.x0` is not read at all. `eta` has no
        meaning here: a reverse step of a discrete process is its posterior.
        """
        source, out = as_noise(noise), x.flatten().clone()
        gate, token = (uniforms(self.law, source, x, given).flatten() for _ in range(2))
        other = uniforms(self.law, source, x, given).flatten() if self.replaces else gate
        hidden, free = (x == self.mask_token).flatten(), self.free(x, given).flatten()
        (_, _, c), (au, bu, cu), (k, b, _) = (self._along(f, x, t, u) for f in (self._now, self._earlier, self.kernel))
        stay = (cu / c.clamp(min=1e-300)).flatten().clamp(max=1) * hidden
        moves = free & (gate >= stay) if self.replaces else free & hidden & (gate >= stay)
        cells = moves.nonzero().squeeze(1)
        if len(cells) == 0:
            return x
        x0 = draw_rows(prediction.x0, cells, token[cells], self.classes)
        now, hidden = out[cells], hidden[cells]
        (au, bu, k, b), pi = (part.flatten()[cells] for part in (au, bu, k, b)), self.stationary().to(x.device)
        at = pi[now.clamp(max=self.classes - 1)]
        same = torch.where(hidden, 0.0, k * (au * (x0 == now) + bu * at))
        jump, fresh = (torch.where(hidden, w, b * at * w) for w in (au, bu))
        choice = (gate[cells] - stay[cells]) / (1 - stay[cells]) * (same + jump + fresh)
        new = torch.where(choice < same, now, x0)
        if self.replaces:
            new = torch.where(choice >= same + jump, self._fresh(other[cells]), new)
            new = torch.where(same + jump + fresh > 0, new, now)  # x_t rules out what was drawn: pi(x_t) = 0
        out[cells] = new
        return out.view_as(x)

    def _fresh(self, u: Tensor) -> Tensor:
        return draw(self.stationary().to(u.device).log(), u.flatten()).view_as(u)

    def _now(self, t: LeafTime, u: LeafTime) -> Shares:
        return self.coefs_of(t)

    def _earlier(self, t: LeafTime, u: LeafTime) -> Shares:
        return self.coefs_of(u)

    def _along(self, shares: Any, x: Tensor, t: LeafTime, u: LeafTime) -> tuple[Tensor, ...]:
        """Shares at (t, u), each (B, ..., 1)."""
        t64, u64 = torch.as_tensor(t, dtype=torch.float64), torch.as_tensor(u, dtype=torch.float64)
        t64, u64 = t64 + torch.zeros_like(u64), u64 + torch.zeros_like(t64)
        return tuple(expand(c, t64, x).expand(x.shape).unsqueeze(-1) for c in shares(t64, u64))

    def _check_state(self, x: Tensor) -> None:
        if x.is_floating_point() or x.is_complex():
            found = x.dtype
            raise InputError(f"{type(self).__name__}: the state is {found}; expected an integer tensor of categories")
