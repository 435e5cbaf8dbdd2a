"""Ways of sampling a model of moving digits: between two key frames, in a stream of frames, a picture first and its motion after.

    python -m tests.benchmarks.video_sampling [--model moving-digits] [--count 32] [--report FILE.json] [--strips DIR]

Key frames: mean distance of the digit in the middle frame from where the real clip has it, with the noise saying nothing, told
the first frame alone (one-sided) and both (`Between`). Stream: seconds of process time a frame at four noise levels, one frame
after the other and as a stream batch. Two stages: a clip that begins with a picture the same model drew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.video_control import requests, score
from torch import Tensor

from polyscore.cli.flags import whole
from polyscore.noise import Recorded, as_noise
from polyscore.pictures import grid, pixels, write_png
from polyscore.samplers import DDIM, sample
from polyscore.state import Given
from polyscore.video import Animator
from polyscore.video.between import Between
from polyscore.video.data.following import following
from polyscore.video.stream_batch import StreamBatch
from polyscore.video.tracks import centroids


def key_frames(model: Animator, count: int, steps: int, seed: int, strips: Path | None) -> dict[str, Any]:
    """The middle of clips between two known frames."""
    _, frames, height, width = model.shape
    clips = requests(count, frames=frames, size=(height, width), seed=seed)
    real = (clips.film.transpose(1, 2) + 1) / 2
    shape = (len(real), frames, height, width)
    one = model.sample(seed, shape, picture=real[:, 0], steps=steps, sampler=DDIM())
    stepper = Between(clips.film[:, :, 0], clips.film[:, :, -1], Given(cond=model.told(len(real), picture=real[:, -1])))
    both = model.sample(seed, shape, picture=real[:, 0], steps=steps, sampler=stepper)
    wanted = centroids(real)[:, frames // 2]
    if strips is not None:
        rows = torch.cat([real[:4], one[:4], both[:4]])
        write_png(strips / "key-frames.png", grid(pixels(rows.flatten(0, 1)), columns=frames, zoom=4))
    error = {name: (centroids(x)[:, frames // 2] - wanted).norm(dim=-1) for name, x in (("one_sided", one), ("between", both))}
    return {name: float(e[~e.isnan()].mean()) for name, e in error.items()}


@torch.no_grad()
def stream(model: Animator, count: int, levels: int = 4) -> dict[str, float]:
    """Process time a picture, one after the other and `levels` at a time."""
    channels, _, height, width = model.shape
    process: Any = model.denoiser.process
    times = torch.linspace(1, 0, levels + 1).tolist()
    starts = torch.split(as_noise(0)(torch.empty(count, channels, 1, height, width)), 1)
    given = Given(cond=model.told(1))
    model.denoiser(starts[0], 0.5, given)  # warm

    def alone() -> list[Tensor]:
        return [
            sample(DDIM(), model.denoiser, process, x, steps=levels, grid=times, given=given, init=x) for x in starts
        ]

    def streamed() -> list[Tensor]:
        line = StreamBatch(model.denoiser, process, times)
        return [x for x in (line.push(x, given) for x in starts) if x is not None] + list(line.drain())

    found, seconds = [], []
    for way in (alone, streamed, alone, streamed):  # interleaved
        before = time.process_time()
        found.append(torch.cat(way()))
        seconds.append((time.process_time() - before) / count)
    slow, fast = min(seconds[0], seconds[2]), min(seconds[1], seconds[3])
    return {"one_by_one_s": slow, "stream_s": fast, "ratio": slow / fast, "difference": float((found[0] - found[1]).abs().max())}


def two_stages(model: Animator, count: int, steps: int, seed: int, strips: Path | None) -> dict[str, Any]:
    """A picture, then a clip that begins with it, moving along the noise."""
    channels, frames, height, width = model.shape
    clips = requests(count, frames=frames, size=(height, width), seed=seed)
    noise = following(clips, channels, as_noise(seed), fine=model.fine)
    drawn = model.sample(Recorded([noise[:, :, :1]]), (count, 1, height, width), steps=steps)[:, 0]
    moved = model.sample(Recorded([noise]), (count, frames, height, width), picture=drawn, steps=steps)
    if strips is not None:
        rows = torch.cat([drawn[:8, None], moved[:8]], 1)
        write_png(strips / "two-stages.png", grid(pixels(rows.flatten(0, 1)), columns=frames + 1, zoom=4))
    return {**score(moved, clips), "first_frame_difference": float((moved[:, 0] - drawn).abs().mean())}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", default="moving-digits")
    parser.add_argument("--count", type=whole(8), default=32)
    parser.add_argument("--steps", type=whole(1), default=12)
    parser.add_argument("--seed", type=whole(0), default=1000)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--strips", type=Path)
    args = parser.parse_args()
    if args.strips is not None:
        args.strips.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    model = Animator.from_pretrained(args.model)
    found = {
        "stream": stream(model, args.count),
        "key_frames": key_frames(model, args.count, args.steps, args.seed, args.strips),
        "two_stages": two_stages(model, args.count, args.steps, args.seed, args.strips),
    }
    text = json.dumps(found, indent=2)
    print(text)
    if args.report is not None:
        args.report.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
