"""Speech and audio: enhancement by predictors, diffusion models and bridges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.audio.pipeline import SpeechEnhancer

__all__ = ["SpeechEnhancer"]


def __getattr__(name: str) -> Any:
    # Late: training and networks must not wait for, or need, the packages that read and write sound files.
    if name != "SpeechEnhancer":
        raise AttributeError(f"module 'polyscore.audio' has no attribute '{name}'")
    from polyscore.audio.pipeline import SpeechEnhancer

    return SpeechEnhancer
