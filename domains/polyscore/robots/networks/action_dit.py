r"""A diffusion transformer on chunks of actions, with adaLN-Zero.

Every action is a token with a learned position. A block is x + g1 attention(m(norm x, s1, b1)), then
x + g2 mlp(m(norm x, s2, b2)), m(h, s, b) = (1 + s) h + b; its six vectors are linear in the condition
c = MLP(time) + W [states, goals], and 0 at the start, so that the network begins as the constant 0. Attention looks both ways.

Source: Peebles and Xie 2023, arXiv:2212.09748; for actions Dasari et al. 2024, "The Ingredients for Robotic Diffusion
Transformers", arXiv:2410.10088.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.networks import zeroed
from polyscore.robots.networks.context import Waves, context
from polyscore.state import Given

__all__ = ["ActionDiT"]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.condition = zeroed(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        s1, b1, g1, s2, b2, g2 = self.condition(F.silu(c))[:, None].chunk(6, -1)
        q, k, v = self.qkv(torch.addcmul(b1, self.norm1(x), 1 + s1)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = torch.addcmul(x, g1, self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))
        return torch.addcmul(x, g2, self.mlp(torch.addcmul(b2, self.norm2(x), 1 + s2)))


class ActionDiT(nn.Module):
    """`network(x, time, given)` on chunks of actions x (B, t, A); `given.cond` has "state" (B, T_o or more, S), "goal" (B, G, S).

    Args:
        state: S.
        action: A.
        window: T_p, the most steps of a chunk.
        observed: T_o, how many states are read.
        goals: G, 0 for none.
        width: of the tokens.
        layers: number of blocks.
        heads: of each attention.

    Raises:
        InputError: a size below 1, a width that the heads do not divide, or, when called, tensors that do not fit.
    """

    def __init__(
        self,
        state: int,
        action: int,
        *,
        window: int = 16,
        observed: int = 2,
        goals: int = 0,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if min(state, action, window, observed, width, layers, heads) < 1 or goals < 0 or width % heads or observed > window:
            raise InputError(
                f"ActionDiT: state {state}, action {action}, window {window}, observed {observed}, goals {goals}, width {width}, "
                f"layers {layers}, heads {heads}; expected sizes of 1 or more, at most `window` observed, a width that is a "
                "multiple of the heads"
            )
        self.state, self.action, self.window, self.observed, self.goals = state, action, window, observed, goals
        self.width, self.layers, self.heads = width, layers, heads
        self.time = nn.Sequential(Waves(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.seen = nn.Linear((observed + goals) * state, width)
        self.inputs = nn.Linear(action, width)
        self.places = nn.Parameter(torch.zeros(1, window, width))
        nn.init.normal_(self.places, std=0.02)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.condition = zeroed(nn.Linear(width, 2 * width))
        self.outputs = zeroed(nn.Linear(width, action))

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """F (B, t, A)."""
        if x.ndim != 3 or x.shape[1] > self.window or x.shape[2] != self.action:
            raise InputError(f"ActionDiT: actions {tuple(x.shape)}, expected (B, {self.window} or fewer, {self.action})")
        seen = context(given.cond, (self.observed, self.state), self.goals, batch=len(x), name="ActionDiT")
        c = self.time(time.to(x)) + self.seen(seen)
        h = self.inputs(x) + self.places[:, : x.shape[1]]
        for block in self.blocks:
            h = block(h, c)
        scale, shift = self.condition(F.silu(c))[:, None].chunk(2, -1)
        return self.outputs(torch.addcmul(shift, self.norm(h), 1 + scale))  # type: ignore[no-any-return]
