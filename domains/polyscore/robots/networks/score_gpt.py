r"""BESO's score network: a causal transformer over noise level, goals, states and noised actions.

    tokens   sigma, g_1 .. g_G, s_1, a_1, s_2, a_2, ..., s_t, a_t          t <= W
    sigma    W_n c_noise + b_n, without a position
    g, s     one embedding for both, W_s (.) + b_s, plus a position
    a        W_a (.) + b_a, plus the position of its state

The output of step i is read at the token of a_i, which sees the noise level, the goals, and states and actions up to i. Positions
count from the start of the window. Parameters have the names of the published files.

Source: Reuss et al. 2023, "Goal-Conditioned Imitation Learning using Score-based Diffusion Policies", arXiv:2304.02532.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.state import Given

__all__ = ["ScoreGPT"]


class _Attention(nn.Module):
    """Causal self-attention with separate projections."""

    def __init__(self, width: int, heads: int, attention_dropout: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.key, self.query, self.value = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (part(x).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        rate = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=rate)
        out: Tensor = self.drop(self.proj(mixed.transpose(1, 2).flatten(2)))
        return out


class _Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, width: int, heads: int, attention_dropout: float, dropout: float) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _Attention(width, heads, attention_dropout, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        out: Tensor = x + self.mlp(self.ln2(x))
        return out


class ScoreGPT(nn.Module):
    """The network F of a preconditioned denoiser of action windows (B, t, A).

    `given.cond` is a mapping with "state" (B, t, S) and, for a goal-conditioned network, "goal" (B, G, S); a goal of zeros means
    "no goal".

    Args:
        state: S, width of states and goals.
        action: A, width of actions.
        window: W, the most steps of a window.
        goals: G, steps of a goal; 0 for a network without.
        width: C, of the tokens.
        layers: number of blocks.
        heads: of each attention.
        attention_dropout: of the attention's weights, in training.
        dropout: of the outputs of attention and perceptron, in training.
        embedding_dropout: of goal, state and action tokens, in training.
        hidden: width of a perceptron as head (the original's is 100); 0 for a linear head.

    Raises:
        InputError: a size below 1, a width that the heads do not divide, or, when called, tensors that do not fit.
    """

    def __init__(
        self,
        state: int,
        action: int,
        *,
        window: int = 5,
        goals: int = 1,
        width: int = 240,
        layers: int = 4,
        heads: int = 12,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        if min(state, action, window, width, layers, heads) < 1 or goals < 0 or hidden < 0 or width % heads:
            raise InputError(
                f"ScoreGPT: state {state}, action {action}, window {window}, goals {goals}, width {width}, layers {layers}, "
                f"heads {heads}; expected sizes of 1 or more and a width that is a multiple of the heads"
            )
        self.state, self.action, self.window, self.goals = state, action, window, goals
        self.width, self.layers, self.heads, self.hidden = width, layers, heads, hidden
        self.attention_dropout, self.dropout, self.embedding_dropout = attention_dropout, dropout, embedding_dropout
        self.tok_emb, self.action_emb, self.sigma_emb = nn.Linear(state, width), nn.Linear(action, width), nn.Linear(1, width)
        self.pos_emb = nn.Parameter(torch.empty(1, goals + window + 1, width))  # the original never reads the last row
        self.drop = nn.Dropout(embedding_dropout)
        self.blocks = nn.Sequential(*(_Block(width, heads, attention_dropout, dropout) for _ in range(layers)))
        self.ln_f = nn.LayerNorm(width)
        head = [nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, action)] if hidden else []
        self.action_pred = nn.Sequential(*head) if head else nn.Linear(width, action)
        self.initialise()

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Weights and positions from N(0, 0.02^2), biases 0, norms 1."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0.0, 0.02, generator=generator)
                else:
                    parameter.fill_(1.0 if name.rpartition(".")[0].endswith(("ln1", "ln2", "ln_f")) else 0.0)

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """F (B, t, A) from scaled noised actions x (B, t, A), c_noise (B,) and what is given."""
        return self.head(self.blocks(self.tokens(x, time, given))[:, 2 + self.goals :: 2])

    def tokens(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """What the first block reads, (B, 1 + G + 2 t, C)."""
        states, goals = self._conditions(x, given.cond)
        steps, g = x.shape[1], self.goals
        places = self.pos_emb[:, g : g + steps]
        pairs = torch.stack([self.tok_emb(states) + places, self.action_emb(x) + places], 2).flatten(1, 2)
        level = self.sigma_emb(time.to(x)[:, None, None])
        tokens = [level, self.drop(pairs)]
        if goals is not None:
            tokens.insert(1, self.drop(self.tok_emb(goals) + self.pos_emb[:, :g]))
        return torch.cat(tokens, 1)

    def head(self, tokens: Tensor) -> Tensor:
        """F (B, t, A) from what the last block says at the tokens of actions, (B, t, C)."""
        return self.action_pred(self.ln_f(tokens))  # type: ignore[no-any-return]

    def _conditions(self, x: Tensor, cond: Any) -> tuple[Tensor, Tensor | None]:
        """States and goals of the shapes this network was made for."""
        batch, steps = x.shape[:2]
        wanted = {"state": (batch, steps, self.state)} | ({"goal": (batch, self.goals, self.state)} if self.goals else {})
        found = {name: tuple(cond[name].shape) for name in wanted if name in cond} if isinstance(cond, Mapping) else {}
        if found != wanted or steps > self.window or x.shape[2] != self.action:
            raise InputError(
                f"ScoreGPT: actions {tuple(x.shape)} with {found or type(cond).__name__}; expected actions (B, t, {self.action}) "
                f"of at most {self.window} steps with {wanted}"
            )
        return cond["state"], cond["goal"] if self.goals else None
