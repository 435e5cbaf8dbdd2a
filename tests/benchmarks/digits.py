"""Whether drawn digits are what was asked for, as varied as real ones, and no copies of the training set.

    python tests/benchmarks/digits.py [--model digits] [--steps 10] [--guidance 2] [--report FILE.json]

The classifier was trained on the training part of scikit-learn's digits and never on a drawn one; a second one, trained on the
test part alone (which the generator never saw), checks it. What real test digits score stands beside every distance.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore.cli.flags import finite, whole
from polyscore.cli.report import share
from polyscore.cli.samplers import SAMPLERS, make
from polyscore.evaluation import frechet
from polyscore.images import ImageGenerator, digits
from polyscore.images.data import Digits
from polyscore.images.metrics import DigitsClassifier, nearest, spread


def measure(model: ImageGenerator, *, count: int, steps: int, guidance: float, sampler: str, seed: int) -> dict[str, Any]:
    """Every figure of `count` digits, the classes in turn."""
    train, test = digits(train=True), digits(train=False)
    judge, second = DigitsClassifier.fit(), DigitsClassifier.fit(test, train)
    calls: list[int] = []
    hook = model.denoiser.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    labels = torch.arange(count) % 10
    images = model.sample(labels, steps=steps, guidance=guidance, sampler=make(sampler), seed=seed)
    hook.remove()
    real, unseen = (train.images + 1) / 2, (test.images + 1) / 2
    pupil = DigitsClassifier.fit(Digits(2 * images - 1, labels))
    fair = DigitsClassifier.fit(Digits(*(part[:count] for part in train)))  # as many real digits
    return {
        "as_requested": share(int((judge(images) == labels).sum()), count),
        "as_requested_by_class": [float((judge(images[labels == k]) == k).double().mean()) for k in range(10)],
        "as_requested_by_classifier_of_test_part": share(int((second(images) == labels).sum()), count),
        "classifier": share(round(judge.accuracy * judge.tested), judge.tested),
        "classifier_of_test_part": share(round(second.accuracy * second.tested), second.tested),
        "real_test_accuracy_of_classifier_trained_on_drawn": share(round(pupil.accuracy * pupil.tested), pupil.tested),
        "real_test_accuracy_of_classifier_trained_on_as_many_real": share(round(fair.accuracy * fair.tested), fair.tested),
        "nearest_training_image": {
            "drawn": quantiles(nearest(images, real)),
            "real_test": quantiles(nearest(unseen, real)),
            "real_train_to_another": quantiles(nearest_other(real)),
        },
        "nearest_other_of_the_set": {
            "drawn": quantiles(nearest_other(images)),
            "real_train": quantiles(nearest_other(real[:count])),
        },
        "spread_of_class_against_real": (spread(images, labels) / spread(real, train.labels)).tolist(),
        "frechet_to_test": {
            name: frechet(x.flatten(1), unseen.flatten(1)) for name, x in (("drawn", images), ("real_train", real))
        },
        "sampler_calls": len(calls),
        "network_evaluations_per_sample": sum(calls) / count,
    }


def nearest_other(images: Tensor) -> Tensor:
    """The distance of each image to the closest other one of its set."""
    distances = torch.cdist(images.flatten(1).double(), images.flatten(1).double())
    return distances.fill_diagonal_(torch.inf).amin(1)


def quantiles(values: Tensor) -> dict[str, float]:
    return {"min": float(values.min()), "p5": float(values.quantile(0.05)), "median": float(values.median())}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", default="digits")
    parser.add_argument("--count", type=whole(20), default=500)
    parser.add_argument("--steps", type=whole(1), default=10)
    parser.add_argument("--guidance", type=finite, default=2.0)
    parser.add_argument("--sampler", choices=tuple(SAMPLERS), default="dpmpp-2m")
    parser.add_argument("--seed", type=whole(0), default=1000)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {name: getattr(options, name) for name in ("count", "steps", "guidance", "sampler", "seed")}
    model = ImageGenerator.from_pretrained(options.model)
    text = json.dumps({"model": options.model, **settings, **measure(model, **settings)}, indent=1)
    print(text)
    if options.report:
        options.report.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
