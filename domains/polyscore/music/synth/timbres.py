r"""What an instrument sounds like, as numbers of an additive synthesiser.

The tone of frequency f that begins at t = 0 and is let go at t = d is

    env(t) sum_k (late_k + (early_k - late_k) exp(-t / fade)) sin(2 pi k f t),

with env rising over `attack`, falling as exp(-t / decay), and gone `release` seconds after d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from polyscore.errors import InputError

__all__ = ["FAMILIES", "Timbre", "timbre_of"]


@dataclass(frozen=True)
class Timbre:
    """Amplitudes of the harmonics k = 1, 2, ... when the tone begins and later, and times in seconds.

    Raises:
        InputError: no harmonics, or times that are not positive.
    """

    early: tuple[float, ...]
    late: tuple[float, ...]
    attack: float = 0.01
    decay: float = math.inf
    release: float = 0.06
    fade: float = 0.1

    def __post_init__(self) -> None:
        if not self.early or not self.late or not min(self.attack, self.decay, self.release, self.fade) > 0:
            raise InputError(f"Timbre: {self}; expected harmonics and positive times")


def _saw(count: int, slope: float) -> tuple[float, ...]:
    return tuple(k**-slope for k in range(1, count + 1))


def _odd(count: int, slope: float) -> tuple[float, ...]:
    return tuple(k**-slope if k % 2 else 0.12 * k**-slope for k in range(1, count + 1))


FAMILIES: tuple[Timbre, ...] = (
    Timbre(_saw(10, 1.3), _saw(6, 2.4), 0.004, 0.9, 0.12, 0.15),  # piano
    Timbre((1.0, 0.1, 0.0, 0.6, 0.0, 0.0, 0.2), (1.0, 0.0, 0.0, 0.1), 0.002, 0.5, 0.2, 0.06),  # chromatic percussion
    Timbre((0.8, 1.0, 0.5, 0.6, 0.0, 0.3, 0.0, 0.3), (0.8, 1.0, 0.5, 0.6, 0.0, 0.3, 0.0, 0.3), 0.012, math.inf, 0.05),  # organ
    Timbre(_saw(12, 1.0), _saw(6, 2.0), 0.003, 0.6, 0.08, 0.08),  # guitar
    Timbre(_saw(8, 1.2), _saw(4, 2.0), 0.005, 0.8, 0.05, 0.08),  # bass
    Timbre(_saw(10, 1.2), _saw(12, 1.1), 0.06, math.inf, 0.15),  # strings
    Timbre((1.0, 0.7, 0.45, 0.12, 0.08), (1.0, 0.6, 0.5, 0.16, 0.1, 0.05), 0.06, math.inf, 0.15),  # ensemble: strings, choirs
    Timbre((0.7, 0.6, 0.4), _saw(9, 0.9), 0.03, math.inf, 0.08, 0.05),  # brass
    Timbre(_odd(11, 0.9), _odd(11, 1.0), 0.02, math.inf, 0.07),  # reed
    Timbre((1.0, 0.35, 0.2), (1.0, 0.25, 0.08), 0.03, math.inf, 0.08),  # pipe
    Timbre(_saw(14, 1.0), _saw(10, 1.2), 0.005, math.inf, 0.06),  # synth lead
    Timbre(_saw(6, 1.6), _saw(8, 1.4), 0.15, math.inf, 0.4, 0.6),  # synth pad
    Timbre((1.0, 0.0, 0.5, 0.0, 0.4), (1.0, 0.3), 0.05, 2.0, 0.4, 0.5),  # synth effects
    Timbre(_saw(10, 0.9), _saw(5, 1.8), 0.003, 0.5, 0.08, 0.06),  # plucked folk instruments
    Timbre((1.0, 0.5, 0.6, 0.2), (1.0, 0.1), 0.001, 0.2, 0.1, 0.03),  # percussive
    Timbre((1.0, 0.4), (1.0, 0.2), 0.02, 1.0, 0.1),  # sound effects
)
"""One a General MIDI family, programs 8 i to 8 i + 7."""


def timbre_of(program: int) -> Timbre:
    """The timbre of a General MIDI program 0..127.

    Raises:
        InputError: another number.
    """
    if not 0 <= program <= 127:
        raise InputError(f"program {program}: expected a General MIDI program, 0 to 127")
    return FAMILIES[program // 8]
