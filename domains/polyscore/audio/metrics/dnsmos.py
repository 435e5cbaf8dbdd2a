"""The DNS challenge's predictors of quality without a reference, from the ONNX files that a user brings.

    sig_bak_ovr.onnx   P.835: of the speech, of the background, overall      input: samples (N, 144160)
    model_v8.onnx      P.808: overall                                        input: log mel spectra (N, 900, 120)

Both score windows of 9.01 s that start a second apart; the score of a recording is their mean. A shorter recording is doubled
until it fills a window. The raw outputs of P.835 go through polynomials before the mean; those of P.808 are used as they are.

Sources: Reddy, Gopal, Cutler 2021, arXiv 2010.15258 (P.808), and 2022, arXiv 2110.01763 (P.835); microsoft/DNS-Challenge.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.audio.metrics.spectra import mel_bands
from polyscore.errors import InputError, MissingExtraError

__all__ = ["DNSMOS"]

RATE = 16000
WINDOW = 144160  # samples
POLYNOMIALS = (
    ("sig", (-0.08397278, 1.22083953, 0.0052439)),
    ("bak", (-0.13166888, 1.60915514, -0.39604546)),
    ("ovrl", (-0.06766283, 1.11546468, 0.04602535)),
)
FRAME, HOP, BANDS = 321, 160, 120


class DNSMOS:
    """One predictor; which one, its file says.

    Called with a wave (L,) at 16 kHz it gives `{"sig", "bak", "ovrl"}` or `{"p808"}`, each about 1 to 5.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: the file does not exist, is no ONNX model, or another one.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            onnxruntime = import_module("onnxruntime")
        except ImportError as error:
            raise MissingExtraError("DNSMOS needs onnxruntime: pip install 'polyscore[dnsmos]'") from error
        expected = "expected sig_bak_ovr.onnx or model_v8.onnx of microsoft/DNS-Challenge"
        if not Path(path).is_file():
            raise InputError(f"DNSMOS: {path} does not exist; {expected}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong with a file is said once, below
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common name
            raise InputError(f"DNSMOS: {path} cannot be read as an ONNX model; {expected}") from error
        inputs = self._session.get_inputs()
        shape = tuple(inputs[0].shape[1:])
        scores = {(WINDOW,): ("sig", "bak", "ovrl"), (900, BANDS): ("p808",)}.get(shape)
        if len(inputs) != 1 or scores is None:
            raise InputError(f"DNSMOS: {path} is a model of inputs (N, {', '.join(map(str, shape))}); {expected}")
        self.scores: tuple[str, ...] = scores
        self._input = inputs[0].name

    def __call__(self, wave: Tensor) -> dict[str, float]:
        """The scores of a recording.

        Raises:
            InputError: the wave is not (L,) or holds no sample.
        """
        if wave.dim() != 1 or not len(wave):
            raise InputError(f"DNSMOS: the wave has shape {tuple(wave.shape)}; expected (L,) with L >= 1")
        samples = wave.detach().cpu().float()
        while len(samples) < WINDOW:
            samples = torch.cat([samples, samples])
        # the published program counts whole seconds, so of a recording of 10.5 s the second window is not scored
        count = max(len(samples) // RATE - 9, 1)
        raw = np.array([self._raw(window) for window in samples.unfold(0, WINDOW, RATE)[:count]])
        if self.scores == ("p808",):
            return {"p808": float(raw.mean())}
        return {name: float(np.polyval(p, raw[:, i]).mean()) for i, (name, p) in enumerate(POLYNOMIALS)}

    def _raw(self, window: Tensor) -> Any:
        data = log_mel_input(window[:-HOP]) if self.scores == ("p808",) else window
        return self._session.run(None, {self._input: data.contiguous().numpy()[None]})[0][0]


def log_mel_input(samples: Tensor) -> Tensor:
    """What P.808 sees of (L,): mel powers (T, 120) in dB under the largest, -80 at least, as (dB + 40) / 40."""
    window = torch.hann_window(FRAME, dtype=torch.float32)
    spec = torch.stft(samples, FRAME, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    power = (mel_bands(BANDS, FRAME, RATE).float() @ spec.abs().square()).clamp_min(1e-10)
    decibels = 10 * torch.log10(power / power.max())
    return ((decibels.clamp_min(-80) + 40) / 40).T
