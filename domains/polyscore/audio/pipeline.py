"""Speech enhancement: noisy recordings in, cleaner ones out, at their own rate, length and level.

    y  = resample(noisy) / max |resample(noisy)|          one factor for the whole recording, all channels
    x  = codec.decode(sample(p(x0 | codec.encode(y))))    or the predictor's one call
    out = mix * (resample(x * factor) + high band) + (1 - mix) * noisy

The high band is what the model's rate cannot hold (`polyscore.audio.bands`). Every channel is enhanced by itself. Silence
stays exactly silent: a channel of zeros never meets the network. Long recordings go through windows with context
(`polyscore.audio.windows`) and noise that belongs to the frames of the recording (`polyscore.audio.frame_noise`), so the memory
does not grow with the length and the seams do not differ by their noise.

Source: Richter et al. 2023, arXiv:2208.05830 (SGMSE+); Jukic et al. 2024, arXiv:2407.16074 (Schroedinger bridge).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Unpack

import torch
from torch import Tensor, nn

from polyscore.audio.bands import HighBand, add_high_band
from polyscore.audio.calls import EnhanceSettings, check_call
from polyscore.audio.codec import SpectrogramCodec, pad_frames
from polyscore.audio.frame_noise import FrameNoise, mix_seed
from polyscore.audio.io import resample
from polyscore.audio.memory import fitting_window, free_memory
from polyscore.audio.methods import Method, choose
from polyscore.audio.windows import Span, Windows
from polyscore.errors import CheckpointError, ConfigError, InputError, PolyscoreError
from polyscore.samplers import sample
from polyscore.state import Given

__all__ = ["SpeechEnhancer"]


class SpeechEnhancer(nn.Module):
    """Enhances recordings with a predictor, a score model or a bridge.

    Args:
        model: with a ``process``: a denoiser of compressed spectrograms (B, 1, F, T), such as `SpectrogramDenoiser`;
            without: a predictor, of compressed spectrograms (B, F, T) if ``codec`` is given, else of waves (B, L).
        codec: waves to compressed spectrograms and back.
        sample_rate: rate the model was trained at (Hz).
        frame_multiple: spectrograms are extended to a multiple of this many frames.
        frame_padding: what they are extended by, "zeros" or "reflect".
        t_eps: smallest time the model was trained at.
        steps: number of steps of the preset "paper".
        sampler: its sampler, a name of `polyscore.audio.methods`; None for the usual one of the model's process.
        window_seconds: recordings longer than this (plus ``context_seconds``) are enhanced in windows.
        context_seconds: what a window sees beyond its part, on each side.

    Raises:
        ConfigError: a setting outside its range, or a denoiser without a codec.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        codec: SpectrogramCodec | None = None,
        sample_rate: int = 16000,
        frame_multiple: int = 1,
        frame_padding: Literal["zeros", "reflect"] = "zeros",
        t_eps: float = 0.03,
        steps: int = 30,
        sampler: str | None = None,
        window_seconds: float = 10.0,
        context_seconds: float = 1.0,
    ) -> None:
        super().__init__()
        if sample_rate <= 0 or frame_multiple < 1 or steps < 1 or not 0 < t_eps < 1:
            raise ConfigError(
                f"SpeechEnhancer: sample_rate {sample_rate}, frame_multiple {frame_multiple}, steps {steps}, t_eps {t_eps}; "
                "expected positive numbers, t_eps below 1"
            )
        if not 0 <= context_seconds <= window_seconds or window_seconds == 0:
            raise ConfigError(
                f"SpeechEnhancer: window_seconds {window_seconds}, context_seconds {context_seconds}; expected a positive "
                "window and a context no longer than it"
            )
        if hasattr(model, "process") and codec is None:
            raise ConfigError("SpeechEnhancer: a denoiser of spectrograms needs a codec, and none is given")
        self.model = model
        self.codec = codec
        self.sample_rate = sample_rate
        self.frame_multiple = frame_multiple
        self.frame_padding = frame_padding
        self.t_eps = t_eps
        self.steps = steps
        self.sampler = sampler
        self.window_seconds = window_seconds
        self.context_seconds = context_seconds

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | os.PathLike[str],
        *,
        weights: Literal["ema", "raw"] = "ema",
        device: str | torch.device = "cpu",
    ) -> SpeechEnhancer:
        """Load a shipped model by name, a saved folder, or a published SGMSE or StoRM checkpoint (a file).

        ``weights`` chooses between the moving average and the raw weights of a published checkpoint.

        Raises:
            CheckpointError: nothing there, damaged, or something else than a speech enhancer.
            InputError: raw weights asked of a model that has one set of weights.
        """
        if Path(path_or_name).is_file():
            from polyscore.audio import upstream

            return cls(**upstream.read(path_or_name, weights=weights).settings()).to(device).eval()
        from polyscore import hub

        if weights != "ema":
            raise InputError(f"{path_or_name}: weights {weights!r} were asked for; a saved model has one set, leave it out")
        model = hub.load(path_or_name, device=device)
        if not isinstance(model, cls):
            raise CheckpointError(f"{path_or_name}: is a {type(model).__name__}; expected a SpeechEnhancer")
        return model

    def method(
        self,
        *,
        preset: str = "balanced",
        steps: int | None = None,
        sampler: str | None = None,
        snr: float = 0.5,
        corrector_steps: int = 1,
    ) -> Method:
        """The sampler, grid and number of steps that these choices mean for this model.

        Raises:
            InputError: an unknown preset or sampler, or one that the model's process does not have.
        """
        process = getattr(self.model, "process", None)
        method = choose(
            process,
            preset=preset,
            steps=steps,
            sampler=sampler,
            snr=snr,
            corrector_steps=corrector_steps,
            t_eps=self.t_eps,
            paper_steps=self.steps,
            paper_sampler=self.sampler,
        )
        if method.name == "regression" and not hasattr(self.model, "predictor"):
            raise InputError("sampler 'regression' is for models with a predictor inside (StoRM), and this one has none")
        return method

    @torch.no_grad()
    def enhance(
        self,
        wave: Tensor,
        sample_rate: int,
        *,
        preset: str = "balanced",
        steps: int | None = None,
        sampler: str | None = None,
        snr: float = 0.5,
        corrector_steps: int = 1,
        seed: int = 0,
        mix: float = 1.0,
        high_band: HighBand = "gain",
        chunk: float | None = None,
        batch_size: int = 1,
    ) -> Tensor:
        """Enhance a recording (C, L) or (L,) of full scale 1 at ``sample_rate`` Hz; same shape, rate and level back.

        Args:
            wave: the recording, real floating point.
            sample_rate: its rate (Hz).
            preset: "fast", "balanced" or "paper"; predictors make one call whatever it is.
            steps: number of steps, instead of the preset's.
            sampler: name of a sampler, instead of the preset's (`polyscore.audio.methods`).
            snr: signal-to-noise ratio of the Langevin steps, for samplers that have them.
            corrector_steps: number of Langevin steps before each step.
            seed: seed of the noise; channel c draws from (seed, c).
            mix: share of the enhanced signal in the output, 0 to 1; the rest is the input.
            high_band: what becomes of the band above the model's: "gain", "keep" or "drop" (`polyscore.audio.bands`).
            chunk: seconds of a window; by default ``window_seconds``, or less where the free memory asks for it.
            batch_size: windows per network call.

        Raises:
            InputError: a wave that is empty, not real, or holds NaN or infinity; an argument outside its range.
        """
        check_call(wave, sample_rate, mix, high_band)
        windows = self._windows(chunk)
        method = self.method(preset=preset, steps=steps, sampler=sampler, snr=snr, corrector_steps=corrector_steps)
        noisy = wave.reshape(-1, wave.shape[-1]).to("cpu", torch.float32)
        low = resample(noisy, sample_rate, self.sample_rate)
        level = low.abs().amax()
        channels = [c for c in range(len(low)) if low[c].any()]
        if not channels or mix == 0:
            return (1 - mix) * wave

        def enhance_windows(windows: Tensor, spans: Sequence[Span]) -> Tensor:
            return self._enhance_batch(windows / level, spans, method, seed) * level

        clean = windows(low, enhance_windows, channels=channels, batch_size=batch_size)
        if not torch.isfinite(clean).all():
            raise PolyscoreError("enhance: the model returned NaN or infinity; nothing is written, try another preset or seed")
        clean = resample(clean, self.sample_rate, sample_rate, length=noisy.shape[-1])
        if sample_rate > self.sample_rate:
            back = resample(low, self.sample_rate, sample_rate, length=noisy.shape[-1])
            clean = add_high_band(clean, noisy, back, sample_rate, high_band)
            clean[[c for c in range(len(low)) if c not in channels]] = 0
        out = clean if mix == 1 else mix * clean + (1 - mix) * noisy
        return out.reshape(wave.shape).to(wave)

    def draws(
        self, wave: Tensor, sample_rate: int, count: int, *, seed: int = 0, **settings: Unpack[EnhanceSettings]
    ) -> Iterator[Tensor]:
        """``count`` independent draws of the clean wave; the first is what `enhance` gives for the same arguments.

        `polyscore.audio.posterior.summarise` makes their mean and the map of where they differ.

        Raises:
            InputError: as `enhance`, or several draws are asked of a model with one answer.
        """
        preset, steps, sampler = settings.get("preset", "balanced"), settings.get("steps"), settings.get("sampler")
        method = self.method(preset=preset, steps=steps, sampler=sampler)
        if count < 1 or (count > 1 and method.sampler is None):
            raise InputError(f"enhance: samples is {count}; expected 1 for a predictor, whose answer is one, and at least 1 else")
        for number in range(count):
            yield self.enhance(wave, sample_rate, seed=mix_seed(seed, number) if number else seed, **settings)

    def latency(self, chunk: float | None = None) -> float:
        """Seconds after which a sample has left `stream` at the latest, beside the time of computing."""
        windows = self._windows(chunk)
        return (windows.core + 1.5 * windows.context) / self.sample_rate

    @torch.no_grad()
    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate: int | None = None,
        *,
        preset: str = "balanced",
        steps: int | None = None,
        sampler: str | None = None,
        seed: int = 0,
        chunk: float | None = None,
    ) -> Iterator[Tensor]:
        """Enhance blocks (C, n) as they arrive; yields blocks (C, m), in all as many samples, at most `latency` later.

        ``sample_rate`` (Hz) is by default the model's; above it, the high band is dropped. A smaller ``chunk`` (seconds of a
        window) waits less and computes more. The result is that of `enhance` up to the level (`polyscore.audio.streaming`).

        Raises:
            InputError: a block that is not a wave of the first one's channels, or as `enhance`.
        """
        from polyscore.audio.streaming import stream_windows

        method = self.method(preset=preset, steps=steps, sampler=sampler)
        rate = self.sample_rate if sample_rate is None else sample_rate
        if rate <= 0:
            raise InputError(f"stream: sample_rate is {rate} Hz; expected a positive number")

        def enhance_window(wave: Tensor, span: Span, level: float) -> Tensor:
            return self._enhance_batch(wave[None] / level, [span], method, seed)[0].cpu() * level

        for block in stream_windows(blocks, (rate, self.sample_rate), self._windows(chunk), enhance_window):
            if not torch.isfinite(block).all():
                raise PolyscoreError("stream: the model returned NaN or infinity; try another preset or seed")
            yield block

    def window(self, chunk: float | None = None) -> float:
        """Seconds of a window: ``chunk``, or by default ``window_seconds``, less where the free memory asks for it.

        Raises:
            InputError: a chunk that is not longer than 0.
        """
        if chunk is not None and not 0 < chunk < math.inf:
            raise InputError(f"enhance: chunk is {chunk} s; expected a positive number of seconds")
        if chunk is not None or self.codec is None:
            return self.window_seconds if chunk is None else chunk
        frames = (self.codec.bins, self.sample_rate / self.codec.hop)
        free = free_memory(next(self.parameters(), torch.empty(0)).device)
        return fitting_window(self.model, self.window_seconds, self.context_seconds, frames, free)

    def _windows(self, chunk: float | None) -> Windows:
        # Cuts lie on frames, so that a window's frames are frames of the whole recording.
        grid = 2 * (self.codec.hop if self.codec is not None else 1)
        seconds = self.window(chunk)
        context = round(min(self.context_seconds, seconds) * self.sample_rate / grid) * grid
        core = max(context, grid, round(seconds * self.sample_rate / grid) * grid)
        return Windows(core, context)

    def _enhance_batch(self, waves: Tensor, spans: Sequence[Span], method: Method, seed: int) -> Tensor:
        """Windows (B, l) of the normalised recording to enhanced ones, on the model's device."""
        device = next(self.model.parameters(), waves).device
        length = waves.shape[-1]
        if self.codec is None:
            out: Tensor = self.model(waves.to(device))
            return out[..., :length]
        encoded = self.codec.encode(waves.to(device))
        spec = pad_frames(encoded, self.frame_multiple, self.frame_padding)
        if method.sampler is None:
            predictor = getattr(self.model, "predictor", self.model)
            return self.codec.decode(predictor(spec), length)
        y = spec[:, None]
        # A model that makes its own end point and conditioning (StoRM) says so; for others both are the noisy spectrogram.
        endpoint: Callable[[Tensor], Given] = getattr(self.model, "given", _noisy_itself)
        given = endpoint(y)
        noise = FrameNoise([mix_seed(seed, span.channel) for span in spans], [span.start // self.codec.hop for span in spans])
        x: Tensor = sample(
            method.sampler,
            self.model,
            self.model.process,
            y,
            steps=method.steps,
            grid=method.grid,
            given=given,
            noise=noise,
        )
        return self.codec.decode(x[:, 0], length)


def _noisy_itself(noisy: Tensor) -> Given:
    return Given(y=noisy, cond=noisy)
