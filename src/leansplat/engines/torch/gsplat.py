"""The gsplat engine: the torch engine on an NVIDIA card, with gsplat's `rasterization` to draw.

Nothing else of gsplat is used: recipes, Adam, the loss and all criteria are ours, so that a card trains what the CPU
trains. What gsplat draws differs from the other engines' pictures in known places:

- An alpha is capped at 0.999, ours at 0.99 as in 3DGS.
- A Gaussian ends 3.33 standard deviations from its centre, if not earlier where its alpha falls below 1/255.
- It is compiled with fast mathematics, and its sums over pixels are made by atomic additions, in no certain order: two
  runs do not have the same bits.

gsplat compiles its kernels the first time, which takes minutes and needs nvcc. It is imported when this engine is asked
for, and not before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.engine import Engine, Facts
from leansplat.engines.requirements import compiler, installed_version
from leansplat.engines.torch.engine import TorchEngine
from leansplat.engines.torch.model import TorchModel
from leansplat.engines.torch.projection import DILATION
from leansplat.engines.torch.rasterizer import Rasterised, rasterise
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians

KNOWN_VERSION = "1.5"
"""The versions of gsplat whose signature and `meta` this module is written for begin with this."""


@dataclass(frozen=True)
class GsplatRasteriser:
    """See `engines.torch.rasterizer.Rasteriser`.

    Args:
        packed: whether gsplat keeps only the Gaussians that reach the image, which takes less memory where a view shows
            a part of the scene.
    """

    packed: bool = True

    def __call__(
        self,
        gaussians: Gaussians,
        camera: Camera,
        background: Tensor,
        sh_degree: int,
        covariances: Tensor | None = None,
        /,
    ) -> Rasterised:
        if len(gaussians) == 0:
            return rasterise(gaussians, camera, background, sh_degree, covariances)
        scene = _meaningful(gaussians, sh_degree)
        like = scene.means
        images, alphas, meta = rasterization()(
            means=scene.means,
            quats=scene.quats,
            scales=scene.scales.exp(),
            opacities=scene.opacities.sigmoid(),
            colors=torch.cat([scene.sh0, scene.shN], dim=1),
            viewmats=camera.world_to_camera.to(like)[None],
            Ks=camera.K.to(like)[None],
            width=camera.width,
            height=camera.height,
            near_plane=camera.near,
            eps2d=DILATION,
            sh_degree=sh_degree,
            packed=self.packed,
            backgrounds=background.to(like)[None],
            rasterize_mode="antialiased" if scene.antialiased else "classic",
            covars=covariances,
        )
        means, conics = meta["means2d"], meta["conics"].detach()
        if self.packed:
            rows = places = meta["gaussian_ids"].long()
            radii = _radii(conics)
        else:
            # Which of all Gaussians are in the picture; the place of a centre in `means` is that of its Gaussian.
            rows = places = (meta["radii"][0] > 0).all(dim=-1).nonzero()[:, 0]
            radii = _radii(conics[0, rows])
        return Rasterised(images[0], alphas[0, ..., 0], rows, means, radii, None if self.packed else places)


def _meaningful(gaussians: Gaussians, sh_degree: int) -> Gaussians:
    """The scene up to a degree, with those that mean nothing made invisible, without gradients; no engine draws them.

    Nothing waits for the card to find out which those are.
    """
    shown = replace(gaussians, shN=gaussians.shN[:, : (sh_degree + 1) ** 2 - 1])
    values = [getattr(shown, name).detach().flatten(1) for name in ("means", "quats", "sh0", "shN")]
    sane = torch.stack([each.isfinite().all(dim=1) for each in values]).all(dim=0) & (values[1] != 0).any(dim=1)
    sane &= (shown.scales.detach() < torch.inf).all(dim=1) & (shown.opacities.detach() <= torch.inf)

    def where_sane(name: str, otherwise: float) -> Tensor:
        held: Tensor = getattr(shown, name)
        return torch.where(sane.reshape(-1, *[1] * (held.dim() - 1)), held, otherwise)

    others = {"means": 0.0, "quats": 1.0, "scales": 0.0, "opacities": -torch.inf, "sh0": 0.0, "shN": 0.0}
    tensors: dict[str, Any] = {name: where_sane(name, otherwise) for name, otherwise in others.items()}
    return replace(shown, **tensors)


def _radii(conics: Tensor) -> Tensor:
    """(M,) three standard deviations along the long axis, rounded up, of inverse covariances xx, xy, yy (M, 3).

    gsplat's own radii are half the width and height of a box that depends on the opacity.
    """
    a, b, c = conics.unbind(dim=1)
    largest = (0.5 * (a + c) + (0.25 * (a - c).square() + b.square()).sqrt()) / (a * c - b * b)
    return torch.ceil(3 * largest.sqrt())


def rasterization() -> Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]:
    """gsplat's, which is imported now."""
    from gsplat import rasterization as found

    called: Callable[..., tuple[Tensor, Tensor, dict[str, Any]]] = found
    return called


def load_kernels() -> str:
    """Let gsplat load its kernels, which compiles them the first time.

    Returns:
        What went wrong, or nothing.
    """
    with redirect_stdout(sys.stderr):  # where results go, nobody else is to talk
        try:
            from gsplat.cuda._backend import _C
        except Exception as error:  # of a compiler, or of a library that does not fit
            return (str(error).strip() or type(error).__name__).splitlines()[0]
    return "gsplat finds no CUDA toolkit" if _C is None else ""


def missing() -> list[str]:
    """What this engine needs and does not find, as parts of a sentence with what to install; nothing is imported."""
    lacks = []
    packages = [name for name in ("gsplat", "packaging", "ninja") if find_spec(name) is None]
    if packages:
        lacks.append(f"{' and '.join(packages)} (pip install 'leansplat[cuda]')")
    else:
        found = installed_version("gsplat") or "of no version"
        if not found.startswith(f"{KNOWN_VERSION}."):
            lacks.append(f"gsplat {KNOWN_VERSION} in place of {found} (pip install 'leansplat[cuda]')")
    if torch.version.cuda is None:
        lacks.append(f"a PyTorch that is built for CUDA in place of {torch.__version__} (see https://pytorch.org)")
    elif not torch.cuda.is_available():
        lacks.append("an NVIDIA card that PyTorch can use (nvidia-smi shows whether the driver finds one)")
    if compiler() is None and not _is_compiled():
        lacks.append("nvcc to compile gsplat with (install the CUDA toolkit, and set CUDA_HOME to its folder)")
    return lacks


def _is_compiled() -> bool:
    """Whether gsplat was installed with its kernels, as wheels of some versions are."""
    found = find_spec("gsplat")
    places = [] if found is None else found.submodule_search_locations or []
    return any(next(Path(place).glob("csrc*"), None) is not None for place in places)


class GsplatEngine(TorchEngine):
    """See `engines.engine.Engine`."""

    _ready = False

    def check(self) -> None:
        if self._ready:
            return
        lacks = missing()
        if lacks:
            *others, last = lacks
            raise InputError(
                f"the engine {self.name} (--device cuda) needs {', '.join(others) + ' and ' if others else ''}{last}; "
                "without --device everything runs on the CPU"
            )
        failure = load_kernels()
        if failure:
            raise InputError(
                f"gsplat's kernels cannot be compiled or loaded ({failure}); check that the CUDA toolkit is of version "
                f"{torch.version.cuda} as PyTorch is; without --device everything runs on the CPU"
            )
        self._ready = True

    def load(self, tensors: Mapping[str, Tensor], facts: Facts, rates: Mapping[str, float]) -> TorchModel:
        # Where there is no card, what one has trained can still be read, and go on with another engine.
        if missing():
            return TorchEngine("torch", rasterise).load(tensors, facts, rates)
        return super().load(tensors, facts, rates)


ENGINE: Engine = GsplatEngine("gsplat", GsplatRasteriser(), "cuda", probing=True)
