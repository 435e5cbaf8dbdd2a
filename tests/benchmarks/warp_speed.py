"""Warped noise beside the published code, in CPU-seconds of one thread, taken in turns within one run.

    python tests/benchmarks/warp_speed.py --original DIR          # DIR holds noise_warp.py of CommonSource and r.py of rp
    python tests/benchmarks/warp_speed.py --clip clip.mp4         # CogVideoX noise of 49 frames, flow included

The flow is waves and a zoom of 1 % a frame. The least time of a frame over the rounds is given. Without `--original` the figures
recorded for it stand in its column. The original's files are read and run as they are (they need einops); nothing of them is
here.
"""

from __future__ import annotations

import argparse
import ast
import functools
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore.noise import Bilinear, Dither, Flow, Motion, Nearest, Residual, Seeded, carry

CASES = {(256, 256, 4): 435.0, (256, 256, 16): 469.0, (480, 720, 16): 3163.0}  # recorded ms a frame of the original
MODES: list[Motion] = [Nearest(), Residual(), Dither(), Bilinear()]

Step = Callable[[Tensor, Tensor], Tensor]


def original(folder: Path) -> Step:
    """Its step, (state, flow) -> state, imported without what it does not use (background removal, RAFT, its shell)."""
    rp: Any = types.ModuleType("rp")
    space: dict[str, Any] = {name: (lambda *_: True) for name in ("is_torch_tensor", "is_a_matrix", "pip_import")}
    rp.r = types.SimpleNamespace(is_torch_image=lambda *_: True)
    rp.memoized, rp.get_path_parent = functools.cache, lambda path: str(Path(path).parent)
    wanted = {"torch_remap_image", "torch_scatter_add_image"}
    tree = ast.parse((folder / "r.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    exec(compile(tree, "r.py", "exec"), {"rp": rp, **space}, space)
    for name in wanted:
        setattr(rp, name, space[name])
    nothing: Any = types.ModuleType("nothing")
    nothing.BackgroundRemover = nothing.tqdm = None
    for name in ("fire", "raft", "background_remover", "tqdm"):
        sys.modules.setdefault(name, nothing)
    sys.modules["rp"] = rp
    sys.path.insert(0, str(folder.resolve()))
    import noise_warp  # type: ignore[import-not-found]

    step: Step = noise_warp.warp_xyωc
    return step


def waves(height: int, width: int) -> Tensor:
    """One flow (2, H, W)."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    zoom = 0.01 * torch.stack([x - width / 2, y - height / 2])
    return zoom + 3 * torch.stack([torch.sin(y / 20), torch.cos(x / 20)])


def cpu(run: Callable[[], Any]) -> float:
    """Milliseconds of CPU."""
    start = time.process_time()
    run()
    return 1000 * (time.process_time() - start)


def compare(size: tuple[int, int, int], step: Step | None, rounds: int, frames: int = 4) -> None:
    """The least CPU time of a frame, of every mode and of the original, in turns."""
    height, width, channels = size
    flow = waves(height, width)
    start = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    state = torch.cat([torch.zeros(2, height, width), torch.ones(1, height, width), start[0]])
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for motion in MODES:
            source = Seeded(1)

            def ours(motion: Motion = motion, source: Seeded = source) -> None:
                for _ in carry(start, motion.transports(Flow(flow.expand(frames, *flow.shape))), source):
                    pass

            times.setdefault(type(motion).__name__, []).append(cpu(ours) / frames)
        if step is not None:
            times.setdefault("original", []).append(cpu(lambda: step(state.clone(), flow)))
    theirs = min(times.pop("original")) if step is not None else CASES.get(size, float("nan"))
    print(f"{height} x {width} x {channels}: original {theirs:.0f} ms a frame" + ("" if step else " (recorded)"))
    for name, values in times.items():
        least = min(values)
        print(f"  {name:9} {least:7.2f} ms  {1000 / least:6.1f} frames/s  {theirs / least:5.1f} x", flush=True)


def clip(path: Path) -> None:
    """49 frames of 480 x 720 to latent noise for CogVideoX."""
    from polyscore.films import read_film
    from polyscore.video.families import FAMILIES
    from polyscore.video.latents import latent_noise
    from polyscore.video.scene import transfer

    frames, _ = read_film(path, frames=49)
    found: list[Any] = []
    print(f"flow of 49 frames: {cpu(lambda: found.append(transfer(frames, size=(480, 720)))) / 1000:.2f} CPU-s")
    for motion in (Residual(), Dither()):

        def noise(motion: Motion = motion) -> Tensor:
            return latent_noise(found[0].flow, FAMILIES["cogvideox"], motion=motion)

        print(f"noise, {type(motion).__name__}: {cpu(noise) / 1000:.2f} CPU-s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--original", type=Path, help="a folder with noise_warp.py and r.py")
    parser.add_argument("--clip", type=Path, help="a film of at least 49 frames")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.clip is not None:
        clip(args.clip)
        return
    step = None if args.original is None else original(args.original)
    for size in CASES:
        compare(size, step, args.rounds)


if __name__ == "__main__":
    main()
