"""Inversion and editing: what noise given data come from, and how to change a part of them and keep the rest."""

from polyscore.editing.attention import SharedAttention, UniformAttention, maps_of
from polyscore.editing.bdia import BDIA
from polyscore.editing.blending import Blended, difference_mask
from polyscore.editing.confident import Confident, ascend, code
from polyscore.editing.ddcm import DDCM, Renoise, infedit
from polyscore.editing.direct import DirectInversion
from polyscore.editing.drag import Moved, regional_sde
from polyscore.editing.edict import EDICT
from polyscore.editing.interpolation import noise_diffusion, slerp
from polyscore.editing.noise_maps import NoiseMaps, Replayed, WithLastDraw, dpm_encoder, edit_friendly, noise_maps
from polyscore.editing.null_text import NullText, null_text
from polyscore.editing.pairs import Paired, halves, joined
from polyscore.editing.path import DDIMInverse, Path, invert, times_from
from polyscore.editing.resemblance import GuideAndRescale, Resemblance
from polyscore.editing.reversible import Reversible, decode, encode, inverse
from polyscore.editing.sdedit import sdedit

__all__ = [
    "BDIA",
    "DDCM",
    "EDICT",
    "Blended",
    "Confident",
    "DDIMInverse",
    "DirectInversion",
    "GuideAndRescale",
    "Moved",
    "NoiseMaps",
    "NullText",
    "Paired",
    "Path",
    "Renoise",
    "Replayed",
    "Resemblance",
    "Reversible",
    "SharedAttention",
    "UniformAttention",
    "WithLastDraw",
    "ascend",
    "code",
    "decode",
    "difference_mask",
    "dpm_encoder",
    "edit_friendly",
    "encode",
    "halves",
    "infedit",
    "inverse",
    "invert",
    "joined",
    "maps_of",
    "noise_diffusion",
    "noise_maps",
    "null_text",
    "regional_sde",
    "sdedit",
    "slerp",
    "times_from",
]
