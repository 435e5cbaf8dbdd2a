"""CPU seconds of the published sampler, the original's code beside this library, in one run of alternating parts.

    python tests/benchmarks/original_sampling.py --gdss GDSS --model gdss_qm9.pth --batch 256 --steps 10

Both run --steps steps of predictor and corrector on one thread, on graphs of the same law of sizes: the original on graphs padded
to the largest size of the data, this library in its batches of similar size. A step costs the same whichever it is, so the cost
of a graph at N steps is N times that of one; the least of --repeat parts is taken.
"""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from original_gdss import cpu_seconds, original

from polyscore.graphs import GraphGenerator
from polyscore.graphs.batch import mask_of
from polyscore.hub.pickles import read_pickle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gdss", type=Path, required=True, help="checkout of harryjo97/GDSS")
    parser.add_argument("--model", type=Path, required=True, help="a published checkpoint with a predictor and a corrector")
    parser.add_argument("--batch", type=int, default=256, help="graphs at a time, of the original")
    parser.add_argument("--own", type=int, help="graphs at a time, of this library (default: --batch)")
    parser.add_argument("--count", type=int, help="graphs that this library draws (default: --batch)")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--full", type=int, default=1000, help="steps of the published sampler")
    args = parser.parse_args()
    torch.set_num_threads(1)
    count, own = args.count or args.batch, args.own or args.batch
    model = GraphGenerator.from_pretrained(args.model)
    sizes = model.draw_sizes(range(count))
    content = read_pickle(args.model, stand_ins={"easydict.EasyDict": OrderedDict})
    settings = model.presets["exact"]
    with original(args.gdss):
        from sde import VESDE, VPSDE
        from solver import get_pc_sampler
        from utils.loader import load_model

        networks, sdes, shapes = [], [], []
        for leaf, width in (("x", model.features), ("adj", model.nodes)):
            network = load_model(content[f"params_{leaf}"])
            network.load_state_dict({k.removeprefix("module."): v for k, v in content[f"{leaf}_state_dict"].items()})
            networks.append(network.eval())
            words = content["model_config"]["sde"][leaf]
            kind: Any = {"VP": VPSDE, "VE": VESDE}[words["type"]]
            sdes.append(kind(words["beta_min"], words["beta_max"], N=args.steps))
            shapes.append((args.batch, model.nodes, width))
        predictor = {"reverse": "Reverse", "euler": "Euler"}[settings.predictor]
        chosen = {"predictor": predictor, "corrector": "Langevin" if settings.corrector else "None"}
        draw = get_pc_sampler(
            *sdes, *shapes, **chosen, snr=settings.snr, scale_eps=settings.scale, eps=settings.end, device="cpu", continuous=True
        )
        mask = mask_of(sizes[: args.batch], model.nodes)
        slow = fast = float("inf")
        for _ in range(args.repeat):
            slow = min(slow, cpu_seconds(lambda: draw(*networks, mask))[0])
            fast = min(fast, cpu_seconds(lambda: model.sample(sizes, preset="exact", steps=args.steps, batch_size=own))[0])
    theirs, ours = slow / args.steps / args.batch * args.full, fast / args.steps / count * args.full
    report = {"batch": args.batch, "own batch": own, "count": count}
    report |= {"original seconds a graph": theirs, "seconds a graph": ours, "ratio": theirs / ours}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
