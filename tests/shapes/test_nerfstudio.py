"""The methods of nerfstudio that ask polyscore: what can be said without nerfstudio, and runs in an environment of its own.

`POLYSCORE_NERFSTUDIO` names its Python (2.1 GB beyond torch):

    python3.11 -m venv nerfstudio
    nerfstudio/bin/pip install nerfstudio==1.1.5 -e '.[shapes]' -e integrations/nerfstudio_polyscore
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2] / "integrations" / "nerfstudio_polyscore"


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())


def fields(module: str, name: str) -> dict[str, ast.expr | None]:
    (found,) = (node for node in tree(module).body if isinstance(node, ast.ClassDef) and node.name == name)
    return {n.target.id: n.value for n in found.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}


def test_entry_points_name_what_is_there() -> None:
    named = project()
    targets = [*named["scripts"].values(), *named["entry-points"]["nerfstudio.method_configs"].values()]
    assert len(targets) == 3
    for target in targets:
        module, _, name = target.partition(":")
        body = tree(module).body
        made = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        made |= {t.id for node in body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)}
        assert name in made


def test_commands_of_the_readme_are_those_of_the_project() -> None:
    text = (ROOT / "README.md").read_text()
    named = project()
    assert f"pip install {named['name']}" in text
    methods = named["entry-points"]["nerfstudio.method_configs"]
    assert set(re.findall(r"ns-train (\S+)", text)) == set(methods)
    assert set(re.findall(r"ns-export-\w+", text)) == set(named["scripts"])
    known = {
        "model": fields("nerfstudio_polyscore.model", "PolyscoreModelConfig"),
        "datamanager": fields("nerfstudio_polyscore.cameras", "RigDataManagerConfig"),
        "model.teacher": {
            **fields("nerfstudio_polyscore.teachers", "WordsTeacherConfig"),
            **fields("nerfstudio_polyscore.teachers", "FolderTeacherConfig"),
        },
    }
    flags = re.findall(r"--pipeline\.([\w.]+)\.(\w+)", text)
    assert len(flags) == 3
    assert all(field in known[part] for part, field in flags)


def test_the_cameras_are_those_the_bundled_prior_knows() -> None:
    from polyscore.shapes.text import TextToShape

    prior = TextToShape.from_pretrained("solids")
    cameras = fields("nerfstudio_polyscore.cameras", "RigDataManagerConfig")
    teacher = fields("nerfstudio_polyscore.teachers", "WordsTeacherConfig")
    size, extent, name = cameras["resolution"], cameras["extent"], teacher["prior"]
    assert isinstance(size, ast.Constant)
    assert isinstance(extent, ast.Constant)
    assert isinstance(name, ast.Constant)
    assert (size.value, extent.value, name.value) == (prior.size, prior.extent, "solids")


def test_the_axes_turn_and_do_not_mirror() -> None:
    space: dict[str, Any] = {}
    exec((ROOT / "nerfstudio_polyscore" / "axes.py").read_text(), space)
    there, here = space["to_studio"], space["from_studio"]
    up, front = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert there(up).tolist() == [0, 0, 1]
    assert there(front).tolist() == [0, -1, 0]
    u, v = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(here(there(u)), u, rtol=0, atol=0)
    torch.testing.assert_close(torch.linalg.cross(there(u), there(v)), there(torch.linalg.cross(u, v)))


def nerfstudio(*words: str | Path) -> str:
    """What a script prints in the environment that has nerfstudio: `ns-...`, or Python itself."""
    python = os.environ.get("POLYSCORE_NERFSTUDIO")
    if not python:
        pytest.skip("POLYSCORE_NERFSTUDIO is not set: the Python of an environment with nerfstudio 1.1.5")
    command = [str(Path(python).parent / words[0]), *map(str, words[1:])]
    settings = os.environ | {"PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
    ran = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:] + ran.stdout[-1000:]
    return ran.stdout.strip()


SAME = """
import torch
from nerfstudio_polyscore.cameras import RigDataManagerConfig
from nerfstudio_polyscore.model import PolyscoreModelConfig
from polyscore.shapes.render import Orthographic
from polyscore.shapes.render.volume import render, shaded

torch.manual_seed(0)
data = RigDataManagerConfig(resolution=24).setup(device="cpu")
rays, batch = data.next_train(3)
again, _ = data.next_train(3)
assert torch.equal(rays.origins, again.origins) and not torch.equal(rays.origins, data.next_train(4)[0].origins)
model = PolyscoreModelConfig(voxels=12, samples=32, prompt="a glossy red chair").setup(
    scene_box=data.train_dataset.scene_box, num_train_data=1, device="cpu")
with torch.no_grad():
    model.field.raw.normal_(2, 4)
    model.field.raw_colour.normal_()
model.eval()
pictures = model.pictures(model(rays), batch["angles"])
camera = Orthographic.orbit(*batch["angles"].unbind(-1), 2.6, height=1.5)
ours = shaded(render(model.field, camera, 24, samples=32), model.teacher.finish)
assert pictures.shape == (4, 7, 24, 24) and float(ours[:, 0].max()) > 0.5
view, _ = data.next_eval_image(0)  # a quarter of the way round: from the object's own left, which is nerfstudio's +x
assert float(view.camera_to_worlds[0, 0, 3]) > 1 and float(view.camera_to_worlds[0, 2, 3]) > 0.5
found = data.eval_dataset.cameras[2:3].generate_rays(camera_indices=0, keep_shape=True)
aim = found.directions[64, 64] + found.origins[64, 64] / found.origins[64, 64].norm()
print(float((pictures - ours).abs().max()), float(aim.norm()), [name for name in model.state_dict()])
"""

TINY = """
import json, sys
from pathlib import Path
try:
    import diffusers, transformers
except ImportError as error:
    raise SystemExit(f"no {error.name}")
import torch
torch.manual_seed(0)
folder = Path(sys.argv[1])
(folder / "tokenizer").mkdir(parents=True)
letters = [chr(c) for c in range(97, 123)] + [","]
vocabulary = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
(folder / "tokenizer" / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
(folder / "tokenizer" / "merges.txt").write_text("#version: 0.2")
tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", model_max_length=77)
text = transformers.CLIPTextModel(transformers.CLIPTextConfig(vocab_size=len(vocabulary), hidden_size=8, intermediate_size=8,
    num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=77, projection_dim=8,
    bos_token_id=len(vocabulary) - 2, eos_token_id=len(vocabulary) - 1, pad_token_id=len(vocabulary) - 1))
unet = diffusers.UNet2DConditionModel(sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
    cross_attention_dim=8, attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
vae = diffusers.AutoencoderKL(block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, latent_channels=4, sample_size=16)
parts = {"vae": vae, "text_encoder": text, "tokenizer": tokenizer, "unet": unet}
scheduler = diffusers.PNDMScheduler(beta_schedule="scaled_linear")
nothing = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
diffusers.StableDiffusionPipeline(**parts, scheduler=scheduler, **nothing).save_pretrained(folder)
print("made")
"""

BALL = """
import sys, torch
from pathlib import Path
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.fields.base import SURFACE
(path,) = Path(sys.argv[1]).glob("*.ckpt")
state = torch.load(path, weights_only=True)
raw = state["pipeline"]["_model.field.raw"]
assert bool(raw.any()) and bool(torch.isfinite(raw).all()) and state["step"] == 19
n = raw.shape[-1]
raw.copy_((VoxelField(n).raw_at(SURFACE) + 300 * (0.3 - grid_points(n).norm(dim=-1))).clamp(-30, 30))
torch.save(state, path)
"""


@pytest.mark.slow
def test_nerfstudio_sees_what_we_see() -> None:
    """The same field, the same rig: nerfstudio's rays and quadrature, turned into the prior's pictures, and ours."""
    said = nerfstudio("python", "-c", SAME).splitlines()[-1]
    apart, aim, names = said.split(maxsplit=2)
    assert float(apart) < 5e-3
    assert float(aim) < 0.02
    assert ast.literal_eval(names) == ["device_indicator_param", "field.raw", "field.raw_colour"]


@pytest.mark.slow
def test_a_run_is_trained_evaluated_and_exported(tmp_path: Path) -> None:
    """20 steps on the CPU; `ns-eval` loads the checkpoint; a ball put into it comes out as a closed ball."""
    from polyscore.shapes.mesh import examine, read_mesh

    run = tmp_path / "unnamed" / "polyscore-sds" / "test"
    words = ["--prompt", "a blue mug", "--machine.device-type", "cpu", "--max-num-iterations", "20"]
    shown = ["--timestamp", "test", "--vis", "tensorboard", "--steps-per-eval-image", "10"]
    nerfstudio("ns-train", "polyscore-sds", "--output-dir", tmp_path, *words, *shown)
    nerfstudio("python", "-c", BALL, run / "nerfstudio_models")
    nerfstudio("ns-eval", "--load-config", run / "config.yml", "--output-path", tmp_path / "eval.json")
    told = json.loads((tmp_path / "eval.json").read_text())
    assert told["method_name"] == "polyscore-sds"
    # the disc of the ball's outline: tan(20 degrees) is half the picture's height, 2.6 the distance
    radius = (0.3 / (2.6**2 - 0.3**2) ** 0.5) / 0.36397
    assert told["results"]["coverage"] == pytest.approx(3.14159 * radius**2 / 4, rel=0.06)
    nerfstudio("ns-export-polyscore", "--load-config", run / "config.yml", "--output-path", tmp_path / "ball.glb")
    mesh = read_mesh(tmp_path / "ball.glb")
    facts = examine(mesh)
    assert (facts.watertight, facts.bodies) == (True, 1)
    assert facts.volume == pytest.approx(3.14159 / 6, rel=0.05)  # in the unit box


@pytest.mark.slow
def test_a_pipeline_of_diffusers_teaches(tmp_path: Path) -> None:
    """A tiny random one: the fog it begins with changes, and the checkpoint holds nothing of it."""
    try:
        nerfstudio("python", "-c", TINY, tmp_path / "tiny")
    except AssertionError as error:
        if re.search(r"no (diffusers|transformers)", str(error)):
            pytest.skip("the environment of nerfstudio has no diffusers or no transformers")
        raise
    small = ["--pipeline.datamanager.resolution", "16", "--pipeline.model.voxels", "16", "--max-num-iterations", "3"]
    words = ["--prompt", "a stone lion", "--machine.device-type", "cpu", "--vis", "tensorboard", "--timestamp", "test"]
    teacher = ["--pipeline.model.teacher.folder", str(tmp_path / "tiny")]
    nerfstudio("ns-train", "polyscore-sds-diffusers", "--output-dir", tmp_path, *small, *words, *teacher)
    (path,) = (tmp_path / "unnamed" / "polyscore-sds-diffusers" / "test" / "nerfstudio_models").glob("*.ckpt")
    state = torch.load(path, weights_only=True)["pipeline"]
    assert sorted(state) == ["_model.device_indicator_param", "_model.field.raw", "_model.field.raw_colour"]
    raw = state["_model.field.raw"][0, 0]
    assert float(raw[8, 8, 8]) > 1  # fog in the middle,
    assert float(raw[8, 8, 8]) != float(raw[7, 7, 7])  # no longer that of a ball
