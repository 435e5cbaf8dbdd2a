r"""The 1-D U-Net of diffusion policy: convolutions along a chunk of actions, conditioned by FiLM.

    block      h = FiLM(Mish(GroupNorm(conv x)), c),   y = Mish(GroupNorm(conv h)) + skip x,   FiLM(h, c) = s(c) h + b(c)
    levels     two blocks each, halved in length by a convolution of stride 2 but for the last; two blocks in the middle; then up
               again with the outputs of the levels beside

The condition c holds the embedded time, the first T_o states and the goals. Parameters have the names of LeRobot's files, so that
its networks load.

Source: Chi et al. 2023, "Diffusion Policy", arXiv:2303.04137; Perez et al. 2018, arXiv:1709.07871 (FiLM).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.robots.networks.context import Waves, context
from polyscore.state import Given

__all__ = ["ActionUNet"]


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int) -> None:
        super().__init__()
        conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.block = nn.Sequential(conv, nn.GroupNorm(groups, outputs), nn.Mish())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)  # type: ignore[no-any-return]


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _Conv(inputs, outputs, kernel, groups), _Conv(outputs, outputs, kernel, groups)
        self.cond_encoder = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * outputs))
        self.residual_conv = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale, bias = self.cond_encoder(c)[..., None].chunk(2, 1)
        return self.conv2(scale * self.conv1(x) + bias) + self.residual_conv(x)  # type: ignore[no-any-return]


class ActionUNet(nn.Module):
    """`network(x, time, given)` on chunks of actions x (B, t, A); `given.cond` has "state" (B, T_o or more, S), "goal" (B, G, S).

    Args:
        state: S.
        action: A.
        window: T_p, steps of a chunk; a multiple of 2^(levels - 1).
        observed: T_o, how many states are read.
        goals: G, 0 for none.
        widths: channels of the levels, each a multiple of `groups`.
        kernel: of the convolutions, odd.
        groups: of the normalisations.
        embedding: width of the embedded time.
        scale: of the time in that embedding; 1 for whole-numbered steps.

    Raises:
        InputError: sizes that do not fit, or, when called, tensors that do not.
    """

    def __init__(
        self,
        state: int,
        action: int,
        *,
        window: int = 16,
        observed: int = 2,
        goals: int = 0,
        widths: Sequence[int] = (256, 512, 1024),
        kernel: int = 5,
        groups: int = 8,
        embedding: int = 256,
        scale: float = 100.0,
    ) -> None:
        super().__init__()
        wrong = not widths or any(w < 1 or w % groups for w in widths) or window % 2 ** (len(widths) - 1) or kernel % 2 == 0
        if min(state, action, window, observed, groups) < 1 or goals < 0 or observed > window or wrong:
            raise InputError(
                f"ActionUNet: state {state}, action {action}, window {window}, observed {observed}, goals {goals}, widths "
                f"{tuple(widths)}, kernel {kernel}, groups {groups}; expected 1 or more, at most `window` observed, widths that "
                "are multiples of the groups, a window that is a multiple of 2^(levels - 1), an odd kernel"
            )
        self.state, self.action, self.window, self.observed, self.goals = state, action, window, observed, goals
        self.widths, self.kernel, self.groups = tuple(widths), kernel, groups
        self.embedding, self.scale = embedding, scale
        self.diffusion_step_encoder = nn.Sequential(
            Waves(embedding, scale=scale), nn.Linear(embedding, 4 * embedding), nn.Mish(), nn.Linear(4 * embedding, embedding)
        )
        condition = embedding + (observed + goals) * state
        levels = [(action, widths[0]), *pairwise(widths)]

        def residual(inputs: int, outputs: int) -> _Residual:
            return _Residual(inputs, outputs, condition, kernel, groups)

        self.down_modules = nn.ModuleList(
            nn.ModuleList([residual(i, o), residual(o, o), nn.Conv1d(o, o, 3, 2, 1) if n < len(levels) - 1 else nn.Identity()])
            for n, (i, o) in enumerate(levels)
        )
        self.mid_modules = nn.ModuleList(residual(widths[-1], widths[-1]) for _ in range(2))
        self.up_modules = nn.ModuleList(
            nn.ModuleList([residual(2 * o, i), residual(i, i), nn.ConvTranspose1d(i, i, 4, 2, 1)])
            for i, o in reversed(levels[1:])
        )
        self.final_conv = nn.Sequential(_Conv(widths[0], widths[0], kernel, groups), nn.Conv1d(widths[0], action, 1))

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """F (B, t, A); t a multiple of 2^(levels - 1)."""
        if x.ndim != 3 or x.shape[2] != self.action or x.shape[1] % 2 ** (len(self.widths) - 1):
            raise InputError(
                f"ActionUNet: actions {tuple(x.shape)}, expected (B, t, {self.action}) with t a multiple of "
                f"{2 ** (len(self.widths) - 1)}"
            )
        seen = context(given.cond, (self.observed, self.state), self.goals, batch=len(x), name="ActionUNet")
        return self.conditioned(x, torch.cat([self.diffusion_step_encoder(time.to(x)), seen], 1))

    def conditioned(self, x: Tensor, c: Tensor) -> Tensor:
        """The U-Net on x (B, t, A) with the whole condition c (B, width)."""
        h, skips = x.transpose(1, 2), list[Tensor]()
        downs: Any = self.down_modules
        ups: Any = self.up_modules
        for first, second, down in downs:
            skips.append(second(first(h, c), c))
            h = down(skips[-1])
        for block in self.mid_modules:
            h = block(h, c)
        for first, second, up in ups:
            h = up(second(first(torch.cat([h, skips.pop()], 1), c), c))
        return self.final_conv(h).transpose(1, 2)  # type: ignore[no-any-return]
