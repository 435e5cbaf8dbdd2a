"""All scores of one recording at once, of files as they come.

Three rules bring the files of a recording together (`align`): they are compared at the lowest of their rates; lengths that then
differ by 0.1 s at most, as codecs and frames leave them, are cut to the shortest; and one channel stands against every channel
of the others. Anything else is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.audio.io import resample
from polyscore.audio.metrics import dnsmos, perceptual, ratios, spectra
from polyscore.errors import InputError, MissingExtraError

__all__ = ["LOWER_IS_BETTER", "NAMES", "OF_THE_NOISE", "Aligned", "Scorer", "align"]

NAMES = ("si_sdr", "si_sir", "si_sar", "stoi", "estoi", "pesq", "pesq_nb", "lsd", "log_mel")
LOWER_IS_BETTER = frozenset({"lsd", "log_mel"})
OF_THE_NOISE = ("si_sir", "si_sar")  # they split off the noise, so they need it, and of the noisy file say nothing
TOLERANCE = 0.1  # s
_PACKAGES = {"stoi": "pystoi", "estoi": "pystoi", "pesq": "pesq", "pesq_nb": "pesq"}


class Aligned(NamedTuple):
    """Waves of one shape (C, L) at one rate (Hz), and how many seconds were cut from the longest."""

    waves: dict[str, Tensor]
    rate: int
    cut: float


def align(waves: Mapping[str, tuple[Tensor, int]]) -> Aligned:
    """Role -> (wave (C, L), rate in Hz) becomes waves that can be compared.

    Raises:
        InputError: lengths that differ by more than 0.1 s, other numbers of channels, values that are no numbers.
    """
    rate = min(own for _, own in waves.values())
    changed = {role: resample(wave, own, rate) for role, (wave, own) in waves.items()}
    lengths = {role: wave.shape[-1] for role, wave in changed.items()}
    shortest, longest = min(lengths.values()), max(lengths.values())
    if longest - shortest > TOLERANCE * rate:
        found = ", ".join(f"{role} {length / rate:.2f} s" for role, length in lengths.items())
        raise InputError(f"lengths differ: {found}; expected one recording, lengths within {TOLERANCE} s")
    channels = {role: wave.shape[0] for role, wave in changed.items()}
    most = max(channels.values())
    if set(channels.values()) - {1, most}:
        found = ", ".join(f"{role} {count}" for role, count in channels.items())
        raise InputError(f"channels differ: {found}; expected equal numbers, or one")
    for role, wave in changed.items():
        if not torch.isfinite(wave).all():
            raise InputError(f"the {role} file holds values that are no numbers (NaN or infinite)")
    same = {role: wave[:, :shortest].expand(most, -1) for role, wave in changed.items()}
    return Aligned(same, rate, (longest - shortest) / rate)


class Scorer:
    """The scores of these names, and those of DNSMOS models, of waves (C, L); each is the mean over channels.

    `names` are of `NAMES`; None takes all that the installed packages compute, narrow-band PESQ left out. A scorer can be sent
    to another process.

    Raises:
        InputError: a name that is none; a DNSMOS file that is none, or two of one kind.
        MissingExtraError: a score that was named, or a DNSMOS file, without its package.
    """

    def __init__(self, names: Sequence[str] | None = None, models: Sequence[str | Path] = ()) -> None:
        unknown = sorted(set(names or ()) - set(NAMES))
        if unknown:
            raise InputError(f"no score is called {unknown[0]!r}; expected some of {', '.join(NAMES)}")
        absent = {name: package for name, package in _PACKAGES.items() if find_spec(package) is None}
        for name in names or ():
            if name in absent:
                raise MissingExtraError(f"the score {name} needs the package {absent[name]}: pip install {absent[name]}")
        wanted = NAMES if names is None else tuple(dict.fromkeys(names))
        self.names = tuple(name for name in wanted if name not in absent and (names is not None or name != "pesq_nb"))
        self.models = tuple(models)
        kinds = [kind for model in self.predictors for kind in model.scores]
        if len(set(kinds)) < len(kinds):
            raise InputError(f"DNSMOS: two files of one kind in {', '.join(map(str, models))}; expected one of each")

    @cached_property
    def predictors(self) -> tuple[dnsmos.DNSMOS, ...]:
        """The DNSMOS models."""
        return tuple(dnsmos.DNSMOS(path) for path in self.models)

    def __reduce__(self) -> tuple[type[Scorer], tuple[tuple[str, ...], tuple[str | Path, ...]]]:
        return Scorer, (self.names, self.models)

    def __call__(
        self, estimate: Tensor, clean: Tensor | None, rate: int, *, noisy: Tensor | None = None
    ) -> dict[str, float]:
        """Scores by name of one recording; a score that is not defined is NaN.

        Args:
            estimate: what is scored, (C, L).
            clean: its reference; None leaves DNSMOS alone.
            rate: of all waves (Hz).
            noisy: what `estimate` was made of; without it there are no `si_sir` and `si_sar`.
        """
        found: dict[str, Tensor] = {}
        if clean is not None:
            found = {name: score(estimate, clean, rate) for name, score in _SCORES.items() if name in self.names}
            if noisy is not None:
                split = ratios.si_ratios(estimate, clean, noisy)
                found |= {name: value for name, value in zip(OF_THE_NOISE, split[1:], strict=True) if name in self.names}
            silent = estimate.abs().amax(dim=-1) == 0  # the direction of nothing is not defined
            found |= {name: value.where(~silent, torch.nan) for name, value in found.items() if name.startswith("si_")}
        scores = {name: float(found[name].mean()) for name in NAMES if name in found}
        if self.predictors:
            channels = resample(estimate, rate, dnsmos.RATE)
            for model in self.predictors:
                each = [model(channel) for channel in channels]
                scores |= {f"dnsmos_{name}": sum(one[name] for one in each) / len(each) for name in model.scores}
        return scores


def _at_pesq_rate(score: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
    def changed(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
        return score(resample(estimate, rate, perceptual.PESQ_RATE), resample(clean, rate, perceptual.PESQ_RATE))

    return changed


_SCORES: Mapping[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "si_sdr": lambda estimate, clean, rate: ratios.si_sdr(estimate, clean),
    "stoi": perceptual.stoi,
    "estoi": perceptual.estoi,
    "pesq": _at_pesq_rate(perceptual.pesq),
    "pesq_nb": _at_pesq_rate(perceptual.pesq_nb),
    "lsd": lambda estimate, clean, rate: spectra.lsd(estimate, clean),
    "log_mel": spectra.log_mel,
}
