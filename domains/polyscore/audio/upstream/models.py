"""From the settings in a checkpoint to the model: process, parameterisation, signal path, the original's way of sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from torch import nn

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.networks.convtasnet import ConvTasNet
from polyscore.audio.storm import OUVPWithoutRoot, SpectrogramPredictor, StochasticRegeneration
from polyscore.audio.upstream.backbones import sgmse_network, storm_network
from polyscore.audio.upstream.checkpoint import Checkpoint
from polyscore.errors import CheckpointError
from polyscore.processes import OUVE, GaussianProcess, VEBridge

__all__ = ["Paper", "codec_of", "model_of", "networks_of", "paper_settings", "sample_rate_of"]

Hyper = Mapping[str, Any]
_SEEN = {"noisy": 2, "post_denoiser": 2, "both": 3}  # spectrograms that a StoRM score network sees


def model_of(checkpoint: Checkpoint) -> nn.Module:
    """The model with initial weights.

    Raises:
        CheckpointError: settings that no published file has.
    """
    hyper = checkpoint.hyper
    if checkpoint.project == "sgmse":
        return _sgmse_denoiser(hyper, sgmse_network(hyper))
    if checkpoint.mode == "predictor":
        network = storm_network(hyper, hyper["backbone"], inputs=1)
        return network if isinstance(network, ConvTasNet) else SpectrogramPredictor(network)
    if checkpoint.mode == "score":
        return _storm_denoiser(hyper, storm_network(hyper, hyper["backbone"], inputs=2))
    condition = hyper.get("condition", "both")
    if condition not in _SEEN:
        raise CheckpointError(f"its condition is {condition!r}; expected one of {', '.join(_SEEN)}")
    names = {key: str(hyper[f"backbone_{key}"]) for key in ("denoiser", "score")}
    if names["denoiser"] in ("none", "convtasnet"):
        raise CheckpointError(
            f"its backbone_denoiser is {names['denoiser']!r}; regeneration needs a predictor of spectrograms, such as ncsnpp"
        )
    predictor = SpectrogramPredictor(storm_network(hyper, names["denoiser"], inputs=1))
    if names["score"] == "none":
        return predictor
    score = storm_network(hyper, names["score"], inputs=_SEEN[condition])
    return StochasticRegeneration(predictor, _storm_denoiser(hyper, score), condition=condition)


def networks_of(model: nn.Module, checkpoint: Checkpoint) -> dict[str, nn.Module]:
    """The networks of a model by their prefix in ``state_dict``, in the order of the moving average."""
    if isinstance(model, StochasticRegeneration):
        assert isinstance(model.predictor, SpectrogramPredictor)
        return {"denoiser_net": model.predictor.network, "score_net": model.denoiser.network}
    network = model if isinstance(model, ConvTasNet) else model.network
    assert isinstance(network, nn.Module)
    return {"denoiser_net" if checkpoint.mode == "regeneration" else "dnn": network}


def codec_of(hyper: Hyper) -> SpectrogramCodec:
    """Waves to compressed spectrograms as the checkpoint was trained on."""
    large = hyper.get("backbone") == "ncsnpp_48k"
    return SpectrogramCodec(
        n_fft=int(hyper.get("n_fft", 1534 if large else 510)),
        hop=int(hyper.get("hop_length", 384 if large else 128)),
        window=hyper.get("window", "hann"),
        transform=hyper.get("transform_type", "exponent"),
        exponent=float(hyper.get("spec_abs_exponent", 0.667 if large else 0.5)),
        factor=float(hyper.get("spec_factor", 0.065 if large else 0.15)),
    )


def sample_rate_of(hyper: Hyper) -> int:
    """Rate of the training data (Hz)."""
    return 48000 if hyper.get("backbone") == "ncsnpp_48k" else int(hyper.get("sr", 16000))


class Paper(NamedTuple):
    """How the original runs a checkpoint: sampler (a name of `polyscore.audio.methods`), steps, and snr of the Langevin steps."""

    sampler: str
    steps: int
    snr: float = 0.5

    def __str__(self) -> str:
        return f"{self.sampler}, {self.steps} steps" + (f", snr {self.snr:g}" if self.sampler.startswith("pc") else "")


def paper_settings(checkpoint: Checkpoint) -> Paper:
    """The original's settings for a checkpoint."""
    hyper = checkpoint.hyper
    if checkpoint.project == "storm":
        return Paper("pc-2023", 50)
    if hyper["sde"] == "sbve":
        return Paper(f"{'sde' if hyper.get('sampler_type') == 'sde' else 'ode'}-upstream", int(hyper.get("N", 50)))
    if hyper.get("format") == "reverb" and hyper.get("backbone") != "ncsnpp_48k":
        return Paper("pc", 50, 0.33)  # what its authors recommend for the model trained on WSJ0-REVERB
    return Paper("pc", int(hyper.get("N", 30)))


def _process(hyper: Hyper, known: tuple[str, ...]) -> GaussianProcess:
    name = hyper["sde"]
    if name not in known:
        raise CheckpointError(f"its process is {name!r}; expected one of {', '.join(known)}")
    if name == "ouve":
        return OUVE(
            theta=float(hyper.get("theta", 1.5)),
            sigma_min=float(hyper.get("sigma_min", 0.05)),
            sigma_max=float(hyper.get("sigma_max", 0.5)),
        )
    if name == "ouvp":
        missing = [key for key in ("beta_min", "beta_max") if key not in hyper]
        if missing:
            raise CheckpointError(f"its process is 'ouvp' and its hyper_parameters lack {' and '.join(missing)}")
        return OUVPWithoutRoot(float(hyper["beta_min"]), float(hyper["beta_max"]), float(hyper.get("stiffness", 1.0)))
    return VEBridge(k=float(hyper.get("k", 2.6)), c=float(hyper.get("c", 0.4)), regulariser=float(hyper.get("eps", 1e-8)))


def _storm_denoiser(hyper: Hyper, network: nn.Module) -> SpectrogramDenoiser:
    return SpectrogramDenoiser(network, _process(hyper, ("ouve", "ouvp")), predicts="score", c_out="-1")


def _sgmse_denoiser(hyper: Hyper, network: nn.Module) -> SpectrogramDenoiser:
    process = _process(hyper, ("ouve", "sbve"))
    loss = hyper.get("loss_type", "score_matching")
    losses: Mapping[str, Literal["score", "mean", "x0"]] = {
        "score_matching": "score",
        "denoiser": "mean",
        "data_prediction": "x0",
        "mse": "score",  # the names of 2022
        "mae": "score",
    }
    if loss not in losses:
        raise CheckpointError(f"its loss_type is {loss!r}; expected one of {', '.join(losses)}")
    if hyper["backbone"] != "ncsnpp_v2":  # the output is -network, and either the score or x0
        predicts: Literal["score", "x0"] = "x0" if losses[loss] == "x0" else "score"
        return SpectrogramDenoiser(network, process, predicts=predicts, c_out="-1")
    return SpectrogramDenoiser(
        network,
        process,
        predicts=losses[loss],
        c_in=str(hyper.get("c_in", "1")),
        c_out=str(hyper.get("c_out", "1")),
        c_skip=str(hyper.get("c_skip", "0")),
        network_scaling=hyper.get("network_scaling"),
        sigma_data=float(hyper.get("sigma_data", 0.1)),
    )
