"""Clips, pictures, scenes and flows that are none, to every verb that reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.robustness.hostile import Case, Shelf, attack, cases
from tests.robustness.hostile_files import (
    ABSENT,
    BINARY,
    CUT_UTF8,
    DANGLING,
    FOLDER,
    LOOP,
    YAML_BOMB,
    YAML_CODE,
    YAML_DEEP,
    cut,
    lying_npy,
    lying_npz,
    npy,
    npz,
    object_npy,
    object_npz,
    pickled,
    safetensors,
    zip_bomb,
)
from tests.robustness.hostile_shelf import clip, picture, wav

pytest.importorskip("av")
pytest.importorskip("PIL")


def no_frames(path: Path) -> None:
    """A video stream of which nothing follows its header."""
    import av

    with av.open(str(path), "w", format="avi") as file:
        stream = file.add_stream("mjpeg", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        file.start_encoding()


def only_sound(path: Path) -> None:
    wav(path.with_suffix(".wav"))
    path.with_suffix(".wav").rename(path)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says to be so large."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(data)) + part(b"IEND", b"")


HUGE_GIF = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;"
CLIPS = [
    ("empty.mp4", b"", "cannot be read as video"),
    ("text.mp4", "no clip", "cannot be read as video"),
    ("binary.webm", BINARY, "cannot be read as video"),
    ("pickle.avi", pickled(), "cannot be read as video"),
    ("cut.mp4", cut(clip), "cannot be read as video"),
    ("no-frames.mp4", no_frames, "the video stream has no frames"),
    ("sound.mp4", only_sound, "holds no video stream"),
    ("empty.gif", b"GIF89a\x10\0\x10\0\0\0\0;", "cannot be read as video|no frames"),
    ("huge.gif", HUGE_GIF, "cannot be read as video|no frames|large"),
    ("folder.mp4", FOLDER, "no such file"),
    ("dangling.mp4", DANGLING, "no such file"),
    ("loop.mp4", LOOP, "no such file"),
    ("v" * 300 + ".mp4", ABSENT, "too long"),
]
WARP = "warp-noise {bad} -o {out}/noise.safetensors --for svd --size 64x64 --frames 3 --flow torch --quiet"


@pytest.mark.parametrize("case", cases(WARP, CLIPS))
def test_clips(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


ONE_FRAME = [("one-frame.mp4", lambda path: clip(path, 1), "frame")]
SCORED = [row for row in CLIPS if row[0] in ("empty.mp4", "no-frames.mp4", "sound.mp4", "huge.gif")]
FLOWS = [
    ("empty.npz", b"", "cannot be read as a flow"),
    ("cut.npz", npz(forward=np.zeros((3, 2, 64, 64)))[:99], "cannot be read as a flow"),
    ("object.npz", object_npz("forward"), "cannot be read as a flow"),
    ("lying.npz", lying_npz("forward"), "cannot be read as a flow"),
    ("bomb.npz", zip_bomb("forward"), "cannot be read as a flow"),
    ("plain.npz", npy(np.zeros((3, 2, 64, 64))), "holds no array forward"),
    ("other.npz", npz(backward=np.zeros((3, 2, 64, 64))), "no array forward"),
    ("words.npz", npz(forward=np.array(["a"])), "expected numbers"),
    ("nan.npz", npz(forward=np.full((3, 2, 64, 64), np.nan)), "finite"),
    ("small.npz", npz(forward=np.zeros((3, 2, 8))), "shape"),
    ("short.npz", npz(forward=np.zeros((1, 2, 64, 64))), "frames|steps"),
]
ONE = {"dtype": "F32", "shape": [2]}
NOISES = [
    ("empty.safetensors", b"", "is no noise file"),
    ("lying.safetensors", struct.pack("<Q", 2**62) + b"{}", "is no noise file"),
    ("other.safetensors", safetensors({}), "was not written by polyscore"),
    ("offsets.safetensors", safetensors({"noise": {**ONE, "data_offsets": [0, 2**40]}}), "no noise file"),
    ("notes.safetensors", safetensors({"__metadata__": {"format": "polyscore-noise-1", "layout": "BCTHW"}}), "do not fit"),
]


@pytest.mark.parametrize(
    "case",
    [
        *cases("evaluate video {bad} {clip} --method torch --quiet", [*SCORED, *ONE_FRAME]),
        *cases("evaluate video {clip} --flow {bad} --method torch --quiet", FLOWS),
        *cases("evaluate video --noise {bad} --quiet", NOISES),
        *cases("evaluate video {clip} --method torch --reference {bad} --quiet", [("empty", FOLDER, "holds no clips")]),
    ],
)
def test_evaluate(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


PICTURES = [
    ("empty.png", b"", "cannot be read as a picture"),
    ("text.jpg", "no picture", "cannot be read as a picture"),
    ("binary.bmp", BINARY, "cannot be read as a picture"),
    ("cut.png", cut(picture), "cannot be read as a picture"),
    ("huge.png", png(100_000, 100_000), "expected at most 8192|cannot be read as a picture"),
    ("wide.png", png(9000, 9), "expected at most 8192"),
    ("lying.png", png(8000, 8000), "cannot be read as a picture"),
    ("no-size.png", png(0, 0), "cannot be read as a picture"),
    ("pickle.png", pickled(), "cannot be read as a picture"),
    ("folder.png", FOLDER, "no such file"),
    ("dangling.png", DANGLING, "no such file"),
    ("i" * 300 + ".png", ABSENT, "too long"),
]
ANIMATE = "animate {bad} -o {out} --steps 1 --size 32x32 --frames 2 --quiet --field translate:x=1"


@pytest.mark.parametrize(
    "case",
    [
        *cases(ANIMATE, PICTURES),
        *cases("animate {png} --like {bad} -o {out} --steps 1 --size 32x32 --frames 2 --quiet", [*SCORED, *ONE_FRAME]),
    ],
)
def test_pictures(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


def scene(motion: str, *, frames: str = "3", size: str = "size: [32, 32]") -> str:
    return f"{size}\nframes: {frames}\nmotion: {motion}\n"


def camera(depth: bytes, key: str = "depth") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.with_name("depth.npy").write_bytes(depth)
        path.write_text(scene(f"{{kind: camera, {key}: depth.npy, poses: [{{time: 0}}, {{time: 1, x: 1}}]}}"))

    return make


FIELD = "{kind: field, name: translate, x: 1}"
SCENES = [
    ("empty.yaml", b"", "is NoneType; expected names with values"),
    ("binary.yaml", BINARY, "not readable as YAML"),
    ("half-a-letter.yaml", CUT_UTF8, "not readable as YAML"),
    ("code.yaml", YAML_CODE, "not readable as YAML"),
    ("deep.yaml", YAML_DEEP, "not readable as YAML"),
    ("bomb.yaml", YAML_BOMB, "unknown"),
    ("bomb-of-arrows.yaml", YAML_BOMB + scene("{kind: arrows, arrows: *h}"), "unknown|arrows"),
    ("itself.yaml", "motion: &m {kind: drag, layers: [*m]}\nframes: 3\nsize: [32, 32]\n", "expected|unknown"),
    ("large.yaml", "#" * 1_000_001, "a scene has at most"),
    ("list.yaml", "[1, 2]", "is list; expected names with values"),
    ("no-motion.yaml", "size: [32, 32]\nframes: 3", "motion is NoneType"),
    ("unknown-kind.yaml", scene("{kind: flight}"), "expected one of drag"),
    ("nan.yaml", scene("{kind: field, name: translate, x: .nan}"), "expected a finite number"),
    ("huge-number.yaml", scene("{kind: field, name: translate, x: 1.0e+300}"), "finite|large|wrong|expected"),
    ("huge-int.yaml", scene("{kind: field, name: translate, x: 1" + "0" * 400 + "}"), "finite|large|wrong|expected"),
    ("frames.yaml", scene(FIELD, frames="1000000000"), "expected a whole number from 2 to 1000"),
    ("many-frames.yaml", scene(FIELD, frames="1000"), "makes at most 64"),
    ("size.yaml", scene(FIELD, size="size: [1000000, 1000000]"), "each from 8 to 4096"),
    ("none-there.yaml", scene(FIELD, size="image: none.png"), "no such picture"),
    ("elsewhere.yaml", scene(FIELD, size="image: /etc/passwd"), "cannot be read as a picture"),
    ("device.yaml", scene(FIELD, size="image: /dev/zero"), "no such picture"),
    ("null-byte.yaml", scene(FIELD, size='image: "a\\0b.png"'), "no such picture"),
    ("no-clip.yaml", "motion: {kind: transfer, video: none.mp4}\n", "no such file"),
    ("depth-object.yaml", camera(object_npy()), "cannot be read as an array"),
    ("depth-lying.yaml", camera(lying_npy()), "cannot be read as an array"),
    ("depth-words.yaml", camera(npy(np.full((32, 32), "a"))), "numbers|wrong kind|array"),
    ("depth-nan.yaml", camera(npy(np.full((32, 32), np.nan))), "no positive number"),
    ("depth-small.yaml", camera(npy(np.ones((3, 3)))), "the frame has"),
    ("dangling.yaml", DANGLING, "no such file"),
    ("y" * 300 + ".yaml", ABSENT, "too long"),
]


@pytest.mark.parametrize("case", cases("animate {bad} -o {out} --steps 1 --size 32x32 --quiet", SCENES))
def test_scenes(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)
