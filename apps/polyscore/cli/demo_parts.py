"""The parts of ``polyscore demo`` as data: which commands make each, from which files, and what of it the page shows.

A command is what a user types; ``--seed`` follows it. In it ``{dir}`` is the part's folder, and ``{input}`` and ``{suffix}`` are
the recording and its kind. ``RECORDING`` is the part of a user's own recording, ``TRAINED`` that of ``--train-robot``: the
policy that is filmed is trained first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from polyscore.cli import demo_figures as figures
from polyscore.cli import demo_inputs as inputs

__all__ = ["PARTS", "RECORDING", "TRAINED", "Part"]

_TRAINING_SEED = 100_000  # far from the seeds of the rollouts


@dataclass(frozen=True)
class Part:
    """One part of the demo.

    Attributes:
        name: what ``--only`` calls it, and its folder.
        title, about: head and first sentence of its section.
        commands: what is run, one after the other.
        shown: the files that the page holds, in its order; the first is the picture of the documentation.
        figure: what was measured, from the last command's report; it may add files.
        extra, needs: the optional packages that must be there, and what installs them.
        prepare: makes the files that the commands read, in the folder.
    """

    name: str
    title: str
    about: str
    commands: tuple[str, ...]
    shown: tuple[str, ...]
    figure: figures.Measure
    extra: str
    needs: tuple[str, ...] = ()
    prepare: Callable[[Path], None] | None = None


PARTS: tuple[Part, ...] = (
    Part(
        name="speech",
        title="A noisy recording made clean",
        about="A predictor of 387 thousand parameters; above the recording, below what it makes of it.",
        commands=("enhance {input} -o {dir}/clean{suffix} --model speech-16k",),
        shown=("{dir}/spectrograms.png", "{input}", "{dir}/clean{suffix}"),
        figure=figures.speech,
        extra="audio",
        needs=("soundfile", "soxr", "matplotlib"),
        prepare=inputs.noisy,
    ),
    Part(
        name="images",
        title="Digits on request",
        about="Eighty digits of 8 x 8 pixels, one column for each class.",
        commands=("sample --model digits -n 80 --classes 0-9 -o {dir}",),
        shown=("{dir}/grid.png",),
        figure=figures.images,
        extra="images",
    ),
    Part(
        name="molecules",
        title="Molecules",
        about="Molecules of up to nine heavy atoms, drawn as graphs, and how one of them comes out of noise.",
        commands=("molecules --model qm9 -n 24 -o {dir}",),
        shown=("{dir}/grid.png", "{dir}/trajectory.gif"),
        figure=figures.molecules,
        extra="graphs",
        needs=("rdkit", "PIL"),
    ),
    Part(
        name="graphs",
        title="Graphs of two communities",
        about="Graphs of 12 to 20 nodes in two groups with few edges between them.",
        commands=("graphs --model community-small -n 16 -o {dir}",),
        shown=("{dir}/grid.png",),
        figure=figures.graphs,
        extra="graphs",
        needs=("networkx", "PIL"),
    ),
    Part(
        name="music",
        title="A chorale",
        about="Eight bars in four voices, as MIDI, as a piano roll, and as a sound preview.",
        commands=("compose --new --bars 8 -o {dir}",),
        shown=("{dir}/chorale-1_roll.png", "{dir}/chorale-1_preview.wav"),
        figure=figures.music,
        extra="music",
        needs=("mido", "matplotlib"),
    ),
    Part(
        name="video",
        title="A digit dragged along a path",
        about="Above the crude composite and the motion, below the noise that follows it and the clip made of it; forms change.",
        commands=("animate {dir}/scene.yaml -o {dir}",),
        shown=("{dir}/preview.mp4",),
        figure=figures.video,
        extra="video",
        needs=("av", "cv2", "PIL", "yaml"),
        prepare=inputs.scene,
    ),
    Part(
        name="registration",
        title="A scan laid on the object",
        about="A noisy view of a solid from one side, in an unknown pose, red, and the whole of the solid, grey; three sides.",
        commands=("register {dir}/scan.ply {dir}/object.ply -o {dir}",),
        shown=("{dir}/overlay.png",),
        figure=figures.registration,
        extra="shapes",
        needs=("scipy", "trimesh", "PIL"),
        prepare=inputs.scan,
    ),
    Part(
        name="points",
        title="Coloured clouds of words",
        about="Four clouds of a kind and a colour.",
        commands=('points "a blue car" -n 4 -o {dir}',),
        shown=("{dir}/clouds.png",),
        figure=figures.points,
        extra="shapes",
        needs=("scipy", "trimesh", "PIL"),
    ),
    Part(
        name="robots",
        title="A robot policy at work",
        about="Two blocks are pushed into two targets, in the order that is asked for; at the effector draws of the next action.",
        commands=("rollout --model push-blocks --env push --episodes 4 -o {dir}",),
        shown=("{dir}/grid.mp4",),
        figure=figures.robots,
        extra="robots",
        needs=("mujoco", "gymnasium", "av", "PIL"),
    ),
    Part(
        name="shapes",
        title="Words to a mesh",
        about="A closed, coloured mesh, of 32 vectors that a small prior draws; shape.glb opens anywhere, viewer.html turns it.",
        commands=('shape "a red chair" -o {dir}',),
        shown=("{dir}/turntable.gif",),
        figure=figures.shapes,
        extra="shapes",
        needs=("scipy", "trimesh", "skimage", "fast_simplification", "PIL"),
    ),
)

RECORDING, TRAINED = (
    replace(next(part for part in PARTS if part.name == "speech"), figure=figures.recording, prepare=None),
    replace(
        next(part for part in PARTS if part.name == "robots"),
        commands=(
            f"data record --episodes 500 --seed {_TRAINING_SEED} -o {{dir}}/demonstrations.npz",
            "fit --config robots/push --data.init_args.path {dir}/demonstrations.npz --out {dir}/run --trainer.max_epochs 4",
            "rollout --model {dir}/run/model --env push --episodes 32 -o {dir}",
        ),
    ),
)
