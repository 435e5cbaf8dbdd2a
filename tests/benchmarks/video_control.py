"""Whether a model of moving digits moves them as its noise does.

    python tests/benchmarks/video_control.py [--model moving-digits] [--count 64] [--steps 8] [--sampler heun|ddim]
        [--report FILE.json] [--strips DIR]

Every clip asks for one digit on a straight path. Error: mean distance between the velocity of the produced digit (least squares
through the centroids of what stands out) and the requested one, in pixels a frame; r: correlation of their components; path: mean
distance of the produced centroid from the requested centre. The same measures of the real clips stand beside them, and what a
model would score that never moves anything.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore.cli.flags import whole
from polyscore.noise import Recorded, as_noise
from polyscore.pictures import grid, pixels, write_png
from polyscore.samplers import DDIM
from polyscore.video import Animator
from polyscore.video.data import Clips, MovingDigits
from polyscore.video.data.following import following
from polyscore.video.tracks import centroids, velocity


def requests(count: int, *, frames: int, size: tuple[int, int], seed: int) -> Clips:
    """Clips of one digit that moves straight on and meets no border; noise moves up to two pixels around it."""
    height = (0.375 * min(size), 0.54 * min(size))
    source = MovingDigits(
        frames=frames, size=size, digits=(1, 1), height=height, bend=0.0, reach=(2.0, 2.0), speed=(0.25, 1.75)
    )
    clips = source(range(seed, seed + 6 * count))
    steps = clips.tracks[:, 0].diff(dim=1)
    straight = (steps - steps.mean(1, keepdim=True)).abs().amax((1, 2)) < 1e-3
    return Clips(*(part[straight][:count] for part in clips))


def score(film: Tensor, clips: Clips) -> dict[str, float]:
    """How film (B, T, C, H, W) in [0, 1] does what clips ask for."""
    asked, found = clips.tracks[:, 0], centroids(film)
    lost = found.isnan().any(-1).any(-1)
    asked, found = asked[~lost], found[~lost]
    want, got = velocity(asked), velocity(found)
    return {
        "error": float((want - got).norm(dim=-1).mean()),
        "r": float(torch.corrcoef(torch.stack([want.flatten(), got.flatten()]))[0, 1]),
        "path": float((asked - found).norm(dim=-1).mean()),
        "motion": float(got.norm(dim=-1).mean()),
        "empty": float(lost.double().mean()),
    }


def measure(
    model: Animator, *, count: int, steps: int, seed: int = 1000, sampler: Any = None, strips: Path | None = None
) -> dict[str, Any]:
    """Every figure; without a sampler by Heun's method."""
    channels, frames, height, width = model.shape
    clips = requests(count, frames=frames, size=(height, width), seed=seed)
    shape = (len(clips.film), frames, height, width)
    real = (clips.film.transpose(1, 2) + 1) / 2

    def film(name: str, degrade: float, *, first: bool = False) -> Tensor:
        noise = following(clips, channels, as_noise(seed), fine=model.fine, degrade=torch.full((len(real),), degrade))
        out = model.sample(Recorded([noise]), shape, picture=real[:, 0] if first else None, steps=steps, sampler=sampler)
        if strips is not None:
            rows = grid(pixels(out[:8].flatten(0, 1)), columns=frames, zoom=3)
            write_png(strips / f"{name}.png", rows)
        return out

    white = model.sample(seed, shape, steps=steps, sampler=sampler)
    still = velocity(clips.tracks[:, 0]).norm(dim=-1)
    from_first = film("first-frame", 0.0, first=True)
    return {
        "clips": len(real),
        "real": score(real, clips),
        "never_moves": {"error": float(still.mean())},
        "degrade": {str(g): score(film(f"degrade-{g}", g), clips) for g in (0.0, 0.3, 0.5, 0.7, 1.0)},
        "unwarped": score(white, clips),
        "first_frame": score(from_first, clips),
        "first_frame_difference": float((from_first[:, 0] - real[:, 0]).abs().mean()),
        "first_frame_unwarped": score(model.sample(seed, shape, picture=real[:, 0], steps=steps, sampler=sampler), clips),
        "contrast": float(from_first.std() / real.std()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", default="moving-digits")
    parser.add_argument("--count", type=whole(8), default=64)
    parser.add_argument("--steps", type=whole(1), default=8)
    parser.add_argument("--sampler", choices=("heun", "ddim"), default="heun")
    parser.add_argument("--seed", type=whole(0), default=1000)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--strips", type=Path)
    args = parser.parse_args()
    if args.strips is not None:
        args.strips.mkdir(parents=True, exist_ok=True)
    model = Animator.from_pretrained(args.model)
    sampler = DDIM() if args.sampler == "ddim" else None
    found = measure(model, count=args.count, steps=args.steps, seed=args.seed, sampler=sampler, strips=args.strips)
    text = json.dumps(found, indent=2)
    print(text)
    if args.report is not None:
        args.report.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
