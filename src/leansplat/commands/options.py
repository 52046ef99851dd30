"""Options that several commands share, each with the one sentence that explains it everywhere."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec
from tyro.extras import literal_type_from_choices

from leansplat.engines import DEVICES, ENGINES
from leansplat.errors import InputError

_log = logging.getLogger("leansplat")

Scene = Annotated[
    Positional[Path],
    arg(
        metavar="SCENE",
        help="Scene file (.ply, .compressed.ply, .spz, .sog, meta.json, lod-meta.json, .splat, .glb, .gltf, .npz, or a "
        "checkpoint: .pth of 3DGS, .ckpt of nerfstudio, .pt of gsplat), run folder, or output folder of 3DGS.",
    ),
]

CaptureFolder = Annotated[
    Path,
    arg(
        metavar="CAPTURE",
        help="Folder of photos with their cameras, in the layout of COLMAP, nerfstudio, instant-ngp or NeRF Blender.",
    ),
]

RunFolder = Annotated[Path, arg(aliases=["-o"], metavar="RUN", help="Run folder to write: scene, log and checkpoints.")]

_AS_TRAINED = "(default: as the scene was trained, else {})"

Downscale = Annotated[
    int | None,
    arg(
        metavar="N",
        help="Factor by which the photos are reduced in width and height.",
        help_behavior_hint=_AS_TRAINED.format("1"),
    ),
]

Background = Annotated[
    Literal["black", "white"] | None,
    arg(
        metavar="{black,white}",
        help="Colour behind the scene, on which transparent photos are composed.",
        help_behavior_hint=_AS_TRAINED.format("black"),
    ),
]

Overwrite = Annotated[bool, arg(help="Replace what is already at the output.", help_behavior_hint="")]

Resume = Annotated[
    bool,
    arg(
        help="Continue a run that was stopped from its last checkpoint, and end with the bits that it would have had.",
        help_behavior_hint="",
    ),
]

Seed = Annotated[int | None, arg(metavar="N", help="Seed of everything random.", help_behavior_hint="(default: 0)")]

Batch = Annotated[
    int | None,
    arg(
        metavar="B",
        help="Views of a training step, with learning rates that follow. All numbers of steps count views.",
        help_behavior_hint="(default: 1, or one for each process of torchrun)",
    ),
]

Threads = Annotated[
    int | None,
    arg(
        metavar="N",
        help="Number of threads of the kernels. The same number gives the same bits.",
        help_behavior_hint="(default: one per core)",
    ),
]

Engine = Annotated[
    str | None,
    arg(
        constructor=literal_type_from_choices(list(ENGINES)),
        help="Engine that renders and trains. cpu has kernels of its own; gsplat is what --device cuda takes; torch is "
        "plain PyTorch, which is much slower, for checks.",
        help_behavior_hint="(default: that of --device, or the engine that the resumed run began with)",
    ),
]

Device = Annotated[
    str | None,
    arg(
        constructor=literal_type_from_choices(list(DEVICES)),
        help="Device to work on. cuda is an NVIDIA card, through gsplat (pip install 'leansplat[cuda]').",
        help_behavior_hint="(default: cpu)",
    ),
]


def batch_size(batch: int | None) -> int:
    """The views of a step that `--batch` asks for: by default one, or one for each process, which is then said."""
    from leansplat.distributed.joining import leading

    channel = leading()
    if batch is not None or channel is None:
        return 1 if batch is None else batch
    _log.warning("each step takes %d views, one for each process; --batch takes any multiple", channel.place.count)
    return channel.place.count


def engine_on(device: str | None, engine: str | None = None) -> str | None:
    """The engine that `--device` and `--engine` ask for; None where neither does.

    Raises:
        InputError: they contradict each other, or the engine cannot work here, which is said before anything is read.
    """
    if device is not None:
        its = DEVICES[device]
        if engine not in (None, its) and not (device == "cpu" and engine == "torch"):
            raise InputError(f"--device {device} is the engine {its}, and --engine {engine} another; give one of them")
        engine = engine or its
    if engine not in (None, "cpu"):
        from leansplat.engines import named

        named(engine)
    return engine


_RAY_ADDRESS = re.compile(r"auto|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


def parse_ray(words: list[str]) -> str:
    """The address after --ray, empty where there is none.

    Raises:
        ValueError: it is none.
    """
    if not words:
        return ""
    if len(words) > 1 or not _RAY_ADDRESS.fullmatch(words[0]):
        raise ValueError(
            f"{' '.join(words)} is not the address of a Ray cluster; give one such as 10.0.0.1:6379, or put --ray last"
        )
    return words[0]


Ray = Annotated[
    str | None,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[ADDRESS]",
        instance_from_str=parse_ray,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [] if not value else [value],
    ),
    arg(
        help="Work on a Ray cluster (pip install 'leansplat[ray]'): that at ADDRESS, such as 10.0.0.1:6379, or without "
        "one that of RAY_ADDRESS or of this machine.",
        help_behavior_hint="",
    ),
]

Json = Annotated[bool, arg(help="Print one JSON object on standard output instead of text.", help_behavior_hint="")]

Watch = Annotated[
    bool,
    arg(
        help="Open a page in the browser to watch by: curves, the newest scene beside photos, and a button that stops.",
        help_behavior_hint="",
    ),
]

Quiet = Annotated[bool, arg(help="Show no progress, and only results.", help_behavior_hint="")]

Flag = Annotated[bool, arg(help_behavior_hint="")]

Count = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]


Bits = Annotated[
    tuple,  # neither `tuple[int, int]` nor a union, which tyro could only look at after loading a type checker
    PrimitiveConstructorSpec(
        nargs=2,
        metavar="N N",
        instance_from_str=lambda words: (int(words[0]), int(words[1])),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [str(bits) for bits in value],
    ),
]
"""Two numbers of bits; empty for the usual ones."""


def parse_share(text: str) -> float:
    """A share of the Gaussians, such as "25%" or "0.25".

    Raises:
        ValueError: it is not a number above 0 and at most 1.
    """
    number = text.strip()
    value = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    if not (math.isfinite(value) and 0 < value <= 1):
        raise ValueError(f"{text} is not a share; give more than 0 and at most 100%, such as 25%")
    return value


Share = Annotated[
    float | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="SHARE",
        instance_from_str=lambda words: parse_share(words[0]),
        is_instance=lambda value: value is None or isinstance(value, float),
        str_from_instance=lambda value: ["none" if value is None else f"{value:.6g}"],
    ),
    arg(help_behavior_hint=""),
]
