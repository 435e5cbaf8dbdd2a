"""Sound: a fast additive synthesiser for previews, differentiable instruments, and fluidsynth where it is installed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.music.synth.additive import render
    from polyscore.music.synth.ddsp import FilteredNoise, HarmonicOscillator, Instrument, Reverb, spectral_distance
    from polyscore.music.synth.fluid import find_fluidsynth, render_fluidsynth
    from polyscore.music.synth.timbres import Timbre, timbre_of
    from polyscore.music.synth.wav import write_wav

# Imported at first use: a preview needs no torch.
_PLACES = {
    "additive": ("render",),
    "ddsp": ("FilteredNoise", "HarmonicOscillator", "Instrument", "Reverb", "spectral_distance"),
    "fluid": ("find_fluidsynth", "render_fluidsynth"),
    "timbres": ("Timbre", "timbre_of"),
    "wav": ("write_wav",),
}

__all__ = [
    "FilteredNoise",
    "HarmonicOscillator",
    "Instrument",
    "Reverb",
    "Timbre",
    "find_fluidsynth",
    "render",
    "render_fluidsynth",
    "spectral_distance",
    "timbre_of",
    "write_wav",
]

_HOME = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polyscore.music.synth' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.music.synth.{_HOME[name]}"), name)
