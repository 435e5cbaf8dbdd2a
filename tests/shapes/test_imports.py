"""What importing shapes loads: torch and the standard library, no optional package."""

from __future__ import annotations

import subprocess
import sys

MODULES = ["", ".mesh", ".render", ".ops", ".turntable", ".viewer"]
OPTIONAL = [
    "trimesh", "skimage", "fast_simplification", "xatlas", "scipy", "PIL", "matplotlib", "av", "lightning", "diffusers",
    "pytorch3d", "gsplat", "nerfstudio", "nvdiffrast", "networkx", "h5py",
]  # fmt: skip


def test_importing_shapes_loads_no_optional_package() -> None:
    code = "\n".join(
        [
            "import sys, torch",
            "before = set(sys.modules)",
            *(f"import polyscore.shapes{name}" for name in MODULES),
            "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))",
        ]
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600).stdout.split()
    assert "polyscore" in found
    assert not set(found) & set(OPTIONAL)
