"""Speech enhancement: noisy recordings in, cleaner ones out, at their own rate, length and level.

    out = codec.decode(sample(p(x0 | codec.encode(y))))    or the predictor's one call

for windows y of the normalised recording (`polyscore.audio.recording`). Every channel is enhanced by itself, and silence stays
exactly silent. Long recordings go through windows with noise that belongs to the frames of the recording
(`polyscore.audio.frame_noise`), so the memory does not grow with the length and the seams do not differ by their noise. Windows
are joined in one of two ways:

    "context"    each window is sampled by itself, with context whose result is discarded (`polyscore.audio.windows`)
    "blend"      one state for up to four windows, in which the network is evaluated window by window at every step
                 (`polyscore.audio.windowed`); these stretches are joined by context, a window long on each side

Windows of one recording and of several go through the network together, as many as fit; what comes out depends on neither.

Source: Richter et al. 2023, arXiv:2208.05830 (SGMSE+); Jukic et al. 2024, arXiv:2407.16074 (Schroedinger bridge).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, cast

import torch
from torch import Tensor, nn

from polyscore.audio.bands import HighBand
from polyscore.audio.calls import Channels, EnhanceSettings, Seams, check_windows
from polyscore.audio.codec import SpectrogramCodec, pad_frames
from polyscore.audio.cutting import Cutting
from polyscore.audio.frame_noise import FrameNoise, mix_seed
from polyscore.audio.methods import Method, choose
from polyscore.audio.recording import Recording, batches
from polyscore.audio.windowed import Windowed
from polyscore.audio.windows import Span
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
        snr: signal-to-noise ratio of its Langevin steps.
        presets: what presets mean for this model where that is not the usual: {"fast": ("ode", 1)}, sampler and steps.
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
        snr: float = 0.5,
        presets: Mapping[str, tuple[str, int]] | None = None,
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
        self.snr = snr
        self.presets = presets
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
        snr: float | None = None,
        corrector_steps: int = 1,
    ) -> Method:
        """The sampler, grid and number of steps that these choices mean for this model.

        Raises:
            InputError: an unknown preset or sampler, or one that the model's process does not have.
        """
        process = getattr(self.model, "process", None)
        if self.presets and preset in self.presets:
            name, count = self.presets[preset]
            sampler, steps = sampler or name, steps or count
        method = choose(
            process,
            preset=preset,
            steps=steps,
            sampler=sampler,
            snr=self.snr if snr is None else snr,
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
        snr: float | None = None,
        corrector_steps: int = 1,
        seed: int = 0,
        mix: float = 1.0,
        channels: Channels = "each",
        high_band: HighBand = "gain",
        chunk: float | Literal["auto"] = "auto",
        seams: Seams = "context",
        batch_size: int | Literal["auto"] = "auto",
    ) -> Tensor:
        """Enhance a recording (C, L) or (L,) of full scale 1 at ``sample_rate`` Hz; same length, rate and level back.

        Args:
            wave: the recording, real floating point.
            sample_rate: its rate (Hz).
            preset: "fast", "balanced" or "paper"; predictors make one call whatever it is.
            steps: number of steps, instead of the preset's.
            sampler: name of a sampler, instead of the preset's (`polyscore.audio.methods`).
            snr: signal-to-noise ratio of the Langevin steps, for samplers that have them; None for the model's.
            corrector_steps: number of Langevin steps before each step.
            seed: seed of the noise; channel c draws from (seed, c).
            mix: share of the enhanced signal in the output, 0 to 1; the rest is the input.
            channels: "each" enhances every channel by itself; "mono" their mean and "first" the first give (1, L).
            high_band: what becomes of the band above the model's: "gain", "keep" or "drop" (`polyscore.audio.bands`).
            chunk: seconds of a window; "auto" for ``window_seconds``, or less where the free memory asks for it.
            seams: how windows are joined, "context" or "blend" (module docstring); predictors know "context" alone.
            batch_size: windows per network call; "auto" for 1 on a CPU, elsewhere what fits.

        Raises:
            InputError: a wave that is empty, not real, or holds NaN or infinity; an argument outside its range.
        """
        method = self.method(preset=preset, steps=steps, sampler=sampler, snr=snr, corrector_steps=corrector_steps)
        check_windows(chunk, seams, batch_size)
        settings: dict[str, Any] = {"mix": mix, "channels": channels, "high_band": high_band, "chunk": chunk, "seams": seams}
        recording = self.prepare(wave, sample_rate, seed=seed, **settings)
        self.run([recording], method, chunk=chunk, seams=seams, batch_size=batch_size)
        return recording.result()

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
            yield self.enhance(wave, sample_rate, seed=draw_seed(seed, number), **settings)

    def prepare(
        self,
        wave: Tensor,
        sample_rate: int,
        *,
        seed: int = 0,
        mix: float = 1.0,
        channels: Channels = "each",
        high_band: HighBand = "gain",
        chunk: float | Literal["auto"] = "auto",
        seams: Seams = "context",
    ) -> Recording:
        """A recording cut into windows for `run`, which takes several at once; the arguments are those of `enhance`.

        Raises:
            InputError: as `enhance`.
        """
        return Recording(
            wave,
            sample_rate,
            model_rate=self.sample_rate,
            windows=self._cutting.windows(chunk, seams),
            seed=seed,
            mix=mix,
            high_band=high_band,
            channels=channels,
        )

    @torch.no_grad()
    def run(
        self,
        recordings: Sequence[Recording],
        method: Method,
        *,
        chunk: float | Literal["auto"] = "auto",
        seams: Seams = "context",
        batch_size: int | Literal["auto"] = "auto",
    ) -> None:
        """Enhance prepared recordings; then each has its ``result()``.

        Their windows go through the network ``batch_size`` at a time, those together whose spectrograms have the same number of
        frames, so that no result depends on the others. ``method`` is what the method of that name returned, ``chunk`` and
        ``seams`` are what the recordings were prepared with.

        Raises:
            InputError: an argument outside its range, or blending asked of a predictor.
        """
        check_windows(chunk, seams, batch_size)
        if seams == "blend" and method.sampler is None:
            raise InputError("seams 'blend' joins windows at every step of a sampler; this model makes one call, leave it out")
        size = self.batch(chunk) if batch_size == "auto" else batch_size
        cutting, denoiser = self._cutting, cast("Any", self.model)
        if seams == "blend":
            denoiser = Windowed(self.model, *cutting.blended(cutting.seconds(chunk)), size)
        for work in batches(recordings, size, cutting.width):
            waves = [recording.window(span) for recording, span in work]
            seeds = [mix_seed(recording.seed, span.channel) for recording, span in work]
            results = self._enhance_batch(waves, (seeds, [span for _, span in work]), method, denoiser)
            for (recording, span), result in zip(work, results, strict=True):
                recording.put(span, result)

    def latency(self, chunk: float | Literal["auto"] = "auto") -> float:
        """Seconds after which a sample has left `stream` at the latest, beside the time of computing."""
        windows = self._cutting.windows(chunk)
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
        chunk: float | Literal["auto"] = "auto",
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
            seeds = [mix_seed(seed, span.channel)]
            return self._enhance_batch([wave / level], (seeds, [span]), method, self.model)[0].cpu() * level

        for block in stream_windows(blocks, (rate, self.sample_rate), self._cutting.windows(chunk), enhance_window):
            if not torch.isfinite(block).all():
                raise PolyscoreError("stream: the model returned NaN or infinity; try another preset or seed")
            yield block

    def window(self, chunk: float | Literal["auto"] = "auto") -> float:
        """Seconds of a window: ``chunk``, or "auto" for ``window_seconds``, less where the free memory asks for it.

        Raises:
            InputError: a chunk that is not longer than 0.
        """
        return self._cutting.seconds(chunk)

    def batch(self, chunk: float | Literal["auto"] = "auto") -> int:
        """Windows per network call that "auto" means: 1 on a CPU, elsewhere what fits in half of the free memory."""
        return self._cutting.batch(chunk)

    @property
    def _cutting(self) -> Cutting:
        return Cutting(
            self.model, self.codec, self.sample_rate, self.frame_multiple, self.window_seconds, self.context_seconds
        )

    def _enhance_batch(
        self, waves: Sequence[Tensor], places: tuple[Sequence[int], Sequence[Span]], method: Method, denoiser: Any
    ) -> list[Tensor]:
        """Windows (l,) of normalised recordings, of one width, to enhanced ones on the model's device."""
        if self.codec is None:
            out: Tensor = self.model(torch.stack(list(waves)).to(self._cutting.device))
            return [row[: len(wave)] for row, wave in zip(out, waves, strict=True)]
        encoded = (self.codec.encode(wave.to(self._cutting.device)) for wave in waves)
        spec = torch.stack([pad_frames(one, self.frame_multiple, self.frame_padding) for one in encoded])
        if method.sampler is None:
            enhanced = getattr(self.model, "predictor", self.model)(spec)
        else:
            enhanced = self._sample(spec[:, None], places, method, denoiser)[:, 0]
        return [self.codec.decode(one, len(wave)) for one, wave in zip(enhanced, waves, strict=True)]

    def _sample(
        self, y: Tensor, places: tuple[Sequence[int], Sequence[Span]], method: Method, denoiser: Any
    ) -> Tensor:
        """A draw of the clean spectrograms (B, 1, F, T) given the noisy ones."""
        assert self.codec is not None
        seeds, spans = places
        # A model that makes its own end point and conditioning (StoRM) says so; for others both are the noisy spectrogram.
        endpoint: Callable[[Tensor], Given] = getattr(denoiser, "given", _noisy_itself)
        noise = FrameNoise(seeds, [span.start // self.codec.hop for span in spans])
        process: Any = self.model.process
        x: Tensor = sample(
            method.sampler, denoiser, process, y, steps=method.steps, grid=method.grid, given=endpoint(y), noise=noise
        )
        return x


def draw_seed(seed: int, number: int) -> int:
    """Seed of draw ``number`` of several: the first has ``seed`` itself."""
    return mix_seed(seed, number) if number else seed


def _noisy_itself(noisy: Tensor) -> Given:
    return Given(y=noisy, cond=noisy)
