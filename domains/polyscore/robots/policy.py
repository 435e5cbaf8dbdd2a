"""A policy that draws actions: `Policy.from_pretrained("push-blocks").act(observation, goal, seed=0)`."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.errors import CheckpointError, InputError, PolyscoreError
from polyscore.guidance import CFG
from polyscore.hub import load_as
from polyscore.noise import Noise, Seeded
from polyscore.robots.acting import Acting
from polyscore.robots.demonstrations import Demonstrations
from polyscore.robots.history import KnownPast
from polyscore.robots.normalise import Kind, Normaliser
from polyscore.robots.sampling import Sampling
from polyscore.samplers import execute, sample
from polyscore.state import Given
from polyscore.training.draws import seed_of

__all__ = ["Policy"]


class Policy(nn.Module):
    """Draws one action at a time from a denoiser of action windows, given the last states and a goal.

    A call appends the observation to a window of at most W steps, draws the newest action with a sampler, clips it to the range
    of the training actions, and remembers it. `reset` begins an episode.

    Args:
        denoiser: a `Precondition` around a network such as `ScoreGPT` (with `state`, `action`, `window` and `goals`).
        normaliser: the scaling of states and actions.
        features: what the network is told of an observation; see `polyscore.robots.features`.
        sampling: how actions are drawn.
        environment: name of the environment it was trained for.

    Raises:
        InputError: parts of different widths.
    """

    origin: Tensor

    def __init__(
        self,
        denoiser: Precondition,
        normaliser: Normaliser,
        features: Any,
        *,
        sampling: Sampling = Sampling(),  # noqa: B008
        environment: str = "",
    ) -> None:
        super().__init__()
        network: Any = denoiser.network
        states, actions = (network.state, normaliser.state.width, features.width), (network.action, normaliser.action.width)
        if len(set(states)) > 1 or len(set(actions)) > 1:
            raise InputError(
                f"Policy: states of {states} features (network, normaliser, features), actions of {actions}; "
                "expected one width each"
            )
        self.denoiser, self.normaliser, self.features = denoiser, normaliser, features
        self.sampling, self.environment = sampling, environment
        # A buffer, so that averaged copies and checkpoints carry it: episodes, frames, and both halves of the fingerprint.
        self.register_buffer("origin", torch.zeros(4, dtype=torch.int64))
        self._methods: dict[Sampling, tuple[Any, list[float]]] = {}
        self.reset()

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        demonstrations: Demonstrations | None = None,
        weights: str = "ema",
        device: str | torch.device = "cpu",
    ) -> Policy:
        """A shipped or saved policy, or an official BESO run folder (`.hydra/config.yaml` beside `model_state_dict.pth`).

        Args:
            name: shipped name or folder.
            demonstrations: of an official run: its training data, from which the scaling is computed as the original does.
            weights: of an official run: "ema" or "raw" (the file without averaging).
            device: where to.

        Raises:
            CheckpointError: there is none, it is of another kind or damaged, or an official run that scales its data lacks them.
        """
        if (Path(name) / ".hydra").is_dir():
            from polyscore.robots.upstream import read

            return read(name, demonstrations=demonstrations, weights=weights).to(device).eval()
        model = load_as(cls, name, device=device)
        for part in (model.normaliser.state, model.normaliser.action):
            if not bool(
                (torch.isfinite(part.shift) & torch.isfinite(part.scale) & (part.scale > 0) & (part.low <= part.high)).all()
            ):
                raise CheckpointError(
                    f"{os.fspath(name)}: its normaliser holds numbers that cannot scale anything; the file is damaged"
                )
        return model

    # ---------------------------------------------------------------------- data

    def prepare(self, demonstrations: Demonstrations, *, state: Kind = "standard", action: Kind = "range") -> None:
        """Fit the normaliser to training data and note what they are."""
        self.normaliser.fit(self.features(demonstrations.observations), demonstrations.actions, state=state, action=action)
        name = demonstrations.fingerprint()
        numbers = len(demonstrations), len(demonstrations.observations), int(name[:8], 16), int(name[8:], 16)
        self.origin.copy_(torch.tensor(numbers))

    @property
    def data(self) -> dict[str, Any]:
        """What it was trained on: "fingerprint", "episodes", "frames"; empty if nothing is known."""
        episodes, frames, first, second = self.origin.tolist()
        return {"fingerprint": f"{first:08x}{second:08x}", "episodes": episodes, "frames": frames} if episodes else {}

    def check(self, demonstrations: Demonstrations) -> None:
        """Refuse data that are not of the kind this policy was trained on: other widths, or other statistics.

        Raises:
            InputError: the mean of a feature is off the middle of its training range by more than 1.5 times half that range, or
                its deviation is more than that range.
        """
        states = self.normaliser.state(self.features(demonstrations.observations))
        actions = self.normaliser.action(demonstrations.actions)
        for name, u, own in (("state", states, self.normaliser.state), ("action", actions, self.normaliser.action)):
            half = ((own.high - own.low) / 2).clamp(min=1e-9)
            off, spread = (u.mean(0) - (own.high + own.low) / 2).abs() / half, u.std(0) / half
            wrong = (torch.isfinite(half) & ((off > 1.5) | (spread > 2.0))).nonzero()
            if len(wrong):
                i = int(wrong[0])
                raise InputError(
                    f"data: {name} feature {i} is off by {float(off[i]):.1f} and spreads by {float(spread[i]):.1f} times half "
                    "the range of the training data; these data have other units or another order of features"
                )

    def encode(self, observations: Tensor) -> Tensor:
        """Scaled states (..., S) of raw observations (..., O)."""
        return self.normaliser.state(self.features(observations))  # type: ignore[no-any-return]

    def encode_goal(self, goals: Tensor) -> Tensor:
        """Scaled goals (..., S), features that do not count set to 0."""
        u = self.encode(goals)
        return u * torch.tensor(self.features.goal_mask, dtype=u.dtype, device=u.device)

    # ---------------------------------------------------------------------- acting

    def reset(self) -> None:
        """Begin an episode: forget what was seen and done."""
        self._states: list[Tensor] = []
        self._actions: list[Tensor] = []
        self._step = 0

    @torch.inference_mode()
    def act(
        self, observation: Any, goal: Any = None, *, seed: int | Sequence[int] | Noise = 0, sampling: Sampling | None = None
    ) -> Any:
        """The next action (A,), or (N, A) for N environments side by side.

        Args:
            observation: (O,) or (N, O), array or tensor.
            goal: a raw observation (O,) or several (G, O); with N environments (N, O) or (N, G, O). A network without goals
                reads none.
            seed: names the random numbers of the episode, the same at every call; environment i uses seed + i, or the i-th. A
                noise source is asked for the new action (N, 1, A), then for those of the sampler.
            sampling: settings for this call instead of the policy's own.

        Returns:
            An array where the observation is none, a tensor where it is one.

        Raises:
            InputError: shapes that do not fit, numbers that are not finite, another N than in the call before, or no goal.
            PolyscoreError: the model gave values that are not numbers.
        """
        chosen = sampling or self.sampling
        device = self.normaliser.state.shift.device
        seen, single = self._seen(observation, device)
        network: Any = self.denoiser.network
        states = [*self._states, self.encode(seen)][-network.window :]
        past = self._actions[-(len(states) - 1) :] if len(states) > 1 else []
        cond = {"state": torch.stack(states, 1)}
        if network.goals:
            cond["goal"] = self._goal(goal, len(seen), network.goals, device)
        source = self._source(seed, len(seen))
        action = self._clipped(self._draw(Given(cond=cond), past, source, chosen), chosen)
        self._states, self._actions = states, [*past, action][-(network.window - 1) :] if network.window > 1 else []
        self._step += 1
        return self._raw(action, observation, single=single)

    def correct(self, action: Any) -> None:
        """Remember `action` (A,) or (N, A) as what the last call did: where a limit or a person changed what was executed.

        Raises:
            InputError: before the first call of an episode, or not of the shape of its action.
        """
        if not self._step:
            raise InputError("correct: nothing was done yet in this episode; `act` comes first")
        given = self._finite("action", action, self.normaliser.action.shift.device)
        given = given[None] if given.ndim == 1 else given
        wanted = (len(self._states[-1]), self.normaliser.action.width)
        if tuple(given.shape) != wanted:
            raise InputError(f"correct: action {tuple(given.shape)}, expected {wanted}")
        if self._actions:
            self._actions[-1] = self.normaliser.action(given)

    def _draw(self, given: Given, past: Sequence[Tensor], source: Noise, chosen: Sampling) -> Tensor:
        process: Any = self.denoiser.process
        denoiser, x = self._guided(given, chosen), self._start(given, 1, source, chosen)
        if past:
            known = torch.stack(list(past), 1)
            if chosen.history != "redenoise":
                noise = source(known) if chosen.history == "renoise" else None
                denoiser = KnownPast(denoiser, process, known, noise)
            x = torch.cat([known, x], 1)
        return self._solve(denoiser, x, given, source, chosen)[:, -1]

    def _method(self, chosen: Sampling) -> tuple[Any, list[float]]:
        """The sampler, as a table where it is one, and its times."""
        if chosen not in self._methods:
            process: Any = self.denoiser.process
            method, times = chosen.method(), chosen.times(process)
            self._methods[chosen] = method.plan(process, times) if hasattr(method, "plan") else method, times
        return self._methods[chosen]

    def _guided(self, given: Given, chosen: Sampling) -> Any:
        guided = chosen.guidance != 1 and "goal" in given.cond
        return CFG(self.denoiser, _no_goal, chosen.guidance) if guided else self.denoiser

    def _start(self, given: Given, steps: int, source: Noise, chosen: Sampling) -> Tensor:
        """Noise of the first level for `steps` actions, (N, steps, A)."""
        process: Any = self.denoiser.process
        like = given.cond["state"].new_empty(len(given.cond["state"]), steps, self.normaliser.action.width)
        return float(process.sigma(self._method(chosen)[1][0])) * source(like)

    def _solve(self, denoiser: Any, x: Tensor, given: Given, source: Noise, chosen: Sampling) -> Tensor:
        """Where the sampler takes x (N, t, A)."""
        process: Any = self.denoiser.process
        method, times = self._method(chosen)
        if hasattr(method, "stages"):
            out: Tensor = execute(method, denoiser, process, x, given=given, noise=source)
        else:
            out = sample(method, denoiser, process, x, steps=len(times) - 1, grid=times, given=given, noise=source, init=x)
        return out

    def _clipped(self, drawn: Tensor, chosen: Sampling) -> Tensor:
        """Scaled actions within the range of the training actions."""
        if not bool(torch.isfinite(drawn).all()):
            raise PolyscoreError("act: the model gave values that are not numbers; was its training finished?")
        return self.normaliser.action.clip(drawn, chosen.margin)

    def _raw(self, action: Tensor, observation: Any, *, single: bool) -> Any:
        """Scaled actions (N, A) as those of the environment: (A,) if `single`, and an array unless the observation is none."""
        raw = self.normaliser.action.inverse(action)
        raw = raw[0] if single else raw
        return raw if isinstance(observation, Tensor) else raw.cpu().numpy()

    def _seen(self, observation: Any, device: torch.device) -> tuple[Tensor, bool]:
        """Observations (N, O), and whether they were given as one (O,)."""
        seen = self._finite("observation", observation, device)
        single = seen.ndim == 1
        seen = seen[None] if single else seen
        if seen.ndim != 2 or (self._states and len(self._states[-1]) != len(seen)):
            before = f" of {len(self._states[-1])} environments, as before; `reset()` begins anew" if self._states else ""
            raise InputError(f"act: observation {tuple(seen.shape)}, expected (O,) or (N, O){before}")
        return seen, single

    def _goal(self, goal: Any, count: int, steps: int, device: torch.device) -> Tensor:
        if goal is None:
            raise InputError("act: this policy wants a goal, a raw observation of what is to be reached")
        raw = self._finite("goal", goal, device)
        # (O,) and (G, O) are for all environments, (N, O) and (N, G, O) one for each
        if raw.ndim == 1:
            raw = raw[None, None]
        elif raw.ndim == 2:
            raw = raw[None] if len(raw) == steps and (steps > 1 or count == 1) else raw[:, None]
        if raw.ndim != 3 or raw.shape[0] not in (1, count) or raw.shape[1] not in (1, steps):
            raise InputError(
                f"act: goal {tuple(raw.shape)} for {count} environments, expected (O,), ({steps}, O) or ({count}, {steps}, O)"
            )
        return self.encode_goal(raw).expand(count, steps, -1)

    def _source(self, seed: int | Sequence[int] | Noise, count: int) -> Noise:
        if isinstance(seed, Noise):
            return seed
        seeds = range(seed, seed + count) if isinstance(seed, int) else seed
        if len(seeds) < count:
            raise InputError(f"act: {len(seeds)} seeds for {count} environments; give one each")
        return Seeded([seed_of("act", int(s), self._step) for s in seeds[:count]])

    @staticmethod
    def _finite(name: str, value: Any, device: torch.device) -> Tensor:
        x = torch.as_tensor(np.asarray(value) if not isinstance(value, Tensor) else value).to(device, torch.float32)
        if not bool(torch.isfinite(x).all()):
            raise InputError(f"act: the {name} holds NaN or infinity")
        return x

    def frozen(self) -> Policy:
        """A copy for acting on a CPU: the same actions to rounding, in about half the time (see `polyscore.robots.acting`).

        It has the weights of now, whatever becomes of this policy, and is neither trained nor saved.
        """
        twin = copy.deepcopy(self).eval()
        twin.denoiser = Acting(twin.denoiser)
        twin.reset()
        return twin

    def with_sampling(self, **changes: Any) -> Policy:
        """Itself, with other settings of sampling from now on."""
        self.sampling = replace(self.sampling, **changes)
        return self


def _no_goal(given: Given) -> Given:
    return given._replace(cond={**given.cond, "goal": torch.zeros_like(given.cond["goal"])})
