"""Our data sets and policies in LeRobot itself, in an environment of its own: `POLYSCORE_LEROBOT` names its Python.

    python -m venv lerobot && . lerobot/bin/activate
    pip install --no-deps lerobot==0.4.4 draccus==0.10 accelerate 'diffusers<0.36' pyserial
    pip install torch torchvision datasets 'av<16' jsonlines deepdiff pandas pyarrow mergedeep pyyaml-include toml einops
    pip install -e . && pip install --no-deps -e integrations/lerobot_policy_polyscore
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.robots.parts import demonstrations

from polyscore.cli.main import main
from polyscore.hub import save
from polyscore.robots.execution import Committed
from polyscore.robots.policy import Policy

pytestmark = pytest.mark.slow


def lerobot(script: str, *words: str) -> str:
    """What a script prints in the environment that has LeRobot."""
    python = os.environ.get("POLYSCORE_LEROBOT")
    if not python:
        pytest.skip("POLYSCORE_LEROBOT is not set: the Python of an environment with lerobot 0.4.4")
    settings = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run([python, "-c", script, *words], capture_output=True, text=True, env=settings, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout.strip().splitlines()[-1]


READ = """
import sys, numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
around = {"observation.state": [-0.1, 0.0], "action": [0.0, 0.1]}
data = LeRobotDataset("polyscore/toy", root=sys.argv[1], delta_timestamps=around)
assert (data.num_episodes, len(data), data.fps) == (8, 188, 10), (data.num_episodes, len(data), data.fps)
own = np.load(sys.argv[2])
first = own["offsets"][2]
item = data[int(first) + 5]
np.testing.assert_array_equal(item["observation.state"], own["observations"][first + 4 : first + 6])
np.testing.assert_array_equal(item["action"], own["actions"][first + 5 : first + 7])
assert bool(data[int(first)]["observation.state_is_pad"][0]) and not bool(item["observation.state_is_pad"][0])
assert item["task"] == "wander" and int(item["episode_index"]) == 2
np.testing.assert_allclose(data.meta.stats["action"]["mean"], own["actions"].mean(0), rtol=1e-4)
assert [int(e["length"]) for e in data.meta.episodes] == list(range(20, 28))
print("read")
"""


def test_lerobot_reads_what_we_write(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from polyscore.robots.data import lerobot_writer, recordings

    recordings.write(tmp_path / "own.npz", demonstrations())
    lerobot_writer.write(tmp_path / "set", demonstrations(), fps=10, task="wander")
    assert lerobot(READ, str(tmp_path / "set"), str(tmp_path / "own.npz")) == "read"


ACT = """
import sys, json, numpy as np, torch
from lerobot.utils.import_utils import register_third_party_plugins
register_third_party_plugins()
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
config = PreTrainedConfig.from_pretrained(sys.argv[1])
assert config.type == "polyscore"
policy = get_policy_class("polyscore").from_pretrained(sys.argv[1], config=config, strict=True)
before, after = make_pre_post_processors(config, pretrained_path=sys.argv[1])
seen = np.load(sys.argv[2])
policy.reset()
made = []
for observation in seen["observations"]:
    batch = before({"observation.state": torch.as_tensor(observation), "observation.goal": torch.as_tensor(seen["goal"])})
    assert batch["observation.state"].shape == (1, 8)
    batch["observation.goal"] = batch["observation.goal"].reshape(1, 8)
    made.append(after(policy.select_action(batch))[0].numpy())
np.save(sys.argv[3], np.stack(made))
frames = len(config.observation_delta_indices)
batch = {"observation.state": torch.randn(4, frames, 8), "action": torch.randn(4, len(config.action_delta_indices), 2)}
policy.train()
loss, _ = policy.forward(batch)
loss.backward()
assert bool(torch.isfinite(loss)) and any(p.grad is not None for p in policy.get_optim_params())
policy.save_pretrained(sys.argv[4])
again = get_policy_class("polyscore").from_pretrained(sys.argv[4])
assert all(torch.equal(a, b) for a, b in zip(policy.state_dict().values(), again.state_dict().values()))
print("acted", config.observation_delta_indices, config.action_delta_indices)
"""


@pytest.mark.parametrize("chunks", [False, True])
def test_an_exported_policy_acts_in_lerobot_as_here(chunks: bool, tmp_path: Path) -> None:
    from tests.robots import test_chunks
    from tests.robots.parts import policy

    model: Policy = test_chunks.policy(Committed(3, 2), guidance=1.5) if chunks else policy(guidance=1.5)
    save(tmp_path / "toy", model)
    words = ["export", "lerobot", "--model", str(tmp_path / "toy"), "-o", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--observation", "observation.state=8"]) == 0
    seen = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    np.savez(tmp_path / "seen.npz", observations=seen, goal=seen[0])
    said = lerobot(ACT, *(str(tmp_path / name) for name in ("out", "seen.npz", "made.npy", "again")))
    assert said == ("acted [-1, 0, 27] " + str(list(range(-1, 8))) if chunks else "acted [-3, -2, -1, 0, 20] [-3, -2, -1, 0]")
    here = np.stack([model.act(o[None], seen[0], seed=0)[0] for o in seen])
    np.testing.assert_allclose(np.load(tmp_path / "made.npy"), here, atol=1e-5)


UNET = """
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
from polyscore.robots.networks import ActionUNet
from polyscore.state import Given
torch.manual_seed(0)
config = DiffusionConfig(device="cpu", down_dims=(16, 32, 64), diffusion_step_embed_dim=32, n_groups=8, kernel_size=5,
    output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))}, use_film_scale_modulation=True)
theirs = DiffusionConditionalUnet1d(config, global_cond_dim=6)
ours = ActionUNet(3, 2, window=16, observed=2, widths=(16, 32, 64), embedding=32, scale=1.0)
ours.load_state_dict(theirs.state_dict())
x, steps, states = torch.randn(4, 16, 2), torch.tensor([0, 7, 50, 99]), torch.randn(4, 2, 3)
with torch.no_grad():
    difference = (ours(x, steps, Given(cond={"state": states})) - theirs(x, steps, states.flatten(1))).abs().max()
assert float(difference) < 1e-5, difference
print("same")
"""


def test_the_unet_is_that_of_lerobot() -> None:
    """With its weights, which load by their names, the outputs are the same."""
    assert lerobot(UNET) == "same"
