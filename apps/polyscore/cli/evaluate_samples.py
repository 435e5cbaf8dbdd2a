"""``polyscore evaluate samples drawn.npy --reference real.npy``: distances, variety and copies of any two sets of samples.

A set is a ``.npy`` (N, ...), the only array (or the one of ``--key``) of a ``.npz`` or ``.safetensors``, or a folder of pictures
of one size. ``--embed MODULE:FUNCTION`` makes features (N, K) of samples (N, ...) by a function of yours; without it, entries as
they are. Each distance stands beside its floor: what as many real samples, taken out of the reference, have to the rest of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HELP", "add_arguments", "run"]

HELP = "score any samples: Frechet, kernel and energy distance with their floors, precision and recall, Vendi, copies"

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two sets, how they are embedded, and where the scores go."""
    form = "a .npy, .npz or .safetensors, or a folder of pictures"
    parser.add_argument("samples", type=Path, metavar="PATH", help=f"what was drawn: {form}")
    parser.add_argument("--reference", type=Path, required=True, metavar="PATH", help="what it should be like")
    parser.add_argument("--training", type=Path, metavar="PATH", help="what the model was trained on: are there copies of it?")
    parser.add_argument("--embed", metavar="MODULE:FUNCTION", help="samples (N, ...) to features (N, K) (default: the entries)")
    parser.add_argument("--key", metavar="NAME", help="array in an .npz or .safetensors of several")
    parser.add_argument("--neighbours", type=flags.whole(1), default=5, metavar="K", help="of precision and recall (default: 5)")
    flags.add(parser, "seed", "threads", "report", "quiet", seed={"help": "seed of the floor's draws (default: 0)"})


def run(args: argparse.Namespace) -> int:
    """Score the samples."""
    flags.threads(args.threads)
    with Report("evaluate", args) as report:
        report.device = "cpu"
        paths = {"samples": args.samples, "reference": args.reference, "training": args.training}
        sets = {name: _features(path, args) for name, path in paths.items() if path}
        for name, part in sets.items():
            if part.shape[1] != sets["samples"].shape[1]:
                widths = f"{part.shape[1]} numbers a sample, those of {args.samples} have {sets['samples'].shape[1]}"
                raise InputError(f"{paths[name]}: {widths}; expected one width")
        report.metrics = scores(**sets, neighbours=args.neighbours, seed=args.seed)
        report.add(str(args.samples), samples=len(sets["samples"]))
        say(_shown(report.metrics), quiet=args.quiet)
    return report.exit_code


def scores(
    samples: Tensor, reference: Tensor, training: Tensor | None = None, *, neighbours: int = 5, seed: int = 0
) -> dict[str, Any]:
    """All that can be said of features (N, K) beside (M, K), and of copies of the training samples where these are given."""
    from polyscore import evaluation as e

    found: dict[str, Any] = {"samples": len(samples), "reference": len(reference), "width": samples.shape[1]}
    count = min(len(samples), len(reference) // 2)
    for name, distance in (("frechet", e.frechet), ("kernel", e.kernel), ("energy", e.energy)):
        floor, spread = e.noise_floor(distance, reference, count, seed=seed) if count >= 2 else (None, None)
        found[name] = {"value": distance(samples, reference), "floor": floor, "floor_std": spread}
    around = e.prdc(reference, samples, neighbours)
    found |= {name: getattr(around, name) for name in ("precision", "recall", "density", "coverage")}
    width = float(_median_gap(reference))
    for name, part in (("vendi", samples), ("vendi_reference", reference)):
        found[name] = float(e.vendi(e.gaussian(part[:1000].double(), width))) if width > 0 else None
    if training is not None:
        found |= {"copied": e.copied(samples, training), "authenticity": e.authenticity(samples, training)}
        found["nearer_to_training_than_reference_z"] = e.three_sample(samples, reference, training)
    return found


def _median_gap(features: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.pdist(features[:1000].double()).median()


def _features(path: Path, args: argparse.Namespace) -> Tensor:
    import torch

    samples = _read(path, args.key)
    if args.embed:
        samples = _embedder(args.embed)(samples)
        if not isinstance(samples, torch.Tensor) or samples.ndim != 2:
            raise InputError(f"--embed {args.embed} gave {type(samples).__name__}; expected features (N, K)")
    if len(samples) < 2:
        raise InputError(f"{path}: {len(samples)} samples; expected at least 2")
    features = samples.reshape(len(samples), -1).double()
    lost = int((~torch.isfinite(features)).any(1).sum())
    if lost:
        raise InputError(f"{path}: {lost} of {len(features)} samples hold NaN or infinite numbers; take them out first")
    return features


def _read(path: Path, key: str | None) -> Tensor:
    import numpy as np
    import torch
    from safetensors import SafetensorError

    from polyscore.hub.numpy_files import read_numpy

    if path.is_dir():
        return _pictures(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            arrays = load_file(path)
        else:
            arrays = read_numpy(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as .npy, .npz or .safetensors ({str(error).splitlines()[0]})") from error
    wanted = key if key in arrays or "" in arrays else None
    if wanted is None and (key is not None or len(arrays) != 1):
        raise InputError(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; name one of them with --key")
    array = next(iter(arrays.values())) if wanted is None or "" in arrays else arrays[wanted]
    if array.ndim < 1 or array.dtype.kind not in "fiub":
        raise InputError(f"{path}: an array {array.shape} of {array.dtype}; expected numbers (N, ...)")
    return torch.from_numpy(array.astype(np.float64))


def _pictures(folder: Path) -> Tensor:
    import numpy as np
    import torch

    from polyscore.errors import MissingExtraError

    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pictures are read by Pillow: pip install 'polyscore[images]'") from error
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        raise InputError(f"{folder}: holds no picture; expected {', '.join(_PICTURES)}")
    arrays = []
    for path in paths:
        try:
            with Image.open(path) as file:
                arrays.append(np.asarray(file.convert("RGB"), np.float64) / 255)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: cannot be read as a picture ({error})") from error
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise InputError(f"{folder}: pictures of {len(shapes)} sizes; expected one size")
    return torch.from_numpy(np.stack(arrays))


def _embedder(name: str) -> Any:
    import importlib

    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--embed {name}: {error}; expected MODULE:FUNCTION that can be imported") from error


def _shown(metrics: Mapping[str, Any]) -> str:
    def digits(value: Any) -> str:
        return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"

    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            floor = "" if value["floor"] is None else f"{digits(value['floor'])} +- {digits(value['floor_std'])}"
            rows.append((name, digits(value["value"]), floor))
        else:
            rows.append((name, digits(value), ""))
    return table(("SCORE", "VALUE", "FLOOR (REAL SAMPLES)"), rows)
