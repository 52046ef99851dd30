"""What a Gaussian is worth: every criterion is a function from `Evidence` to one or more numbers per Gaussian.

A Gaussian goes when it is among the lowest in ALL of a criterion's numbers: Eq. 5 of the paper, of which a single score
is the simplest case. Only the order of the numbers counts, so their units do not matter. To add a criterion, write a
function under `@criterion(name)`; `trim --criterion name`, sweeps and tests find it in `CRITERIA`.

Symbols: C image, E photo, sigma opacity, alpha_i(p) = sigma_i g_i(p) with g_i the value of the projected Gaussian at
pixel p, T_i(p) transmittance in front of it, dC_i what the image changes by when Gaussian i is taken away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line lists the criteria without waiting for PyTorch
    from torch import Tensor

    from leansplat.pruning.evidence import Evidence

Criterion = Callable[["Evidence"], "tuple[Tensor, ...]"]

CRITERIA: dict[str, Criterion] = {}
"""Every criterion by name. Each returns tensors (N,), higher for a Gaussian that matters more."""


def criterion(name: str) -> Callable[[Criterion], Criterion]:
    """Decorator that lists a function in `CRITERIA`. The first line of its docstring is what `trim --help` shows."""

    def register(function: Criterion) -> Criterion:
        CRITERIA[name] = function
        return function

    return register


@criterion("gradient")
def gradient(evidence: Evidence) -> tuple[Tensor, ...]:
    """Opacity, and how much the loss pulls at it (the paper's rule).

    sigma_i and the mean over views of |dL/d(x, y)|, the gradient by the projected mean (Trimming the Fat, Eq. 5).
    """
    return evidence.opacity, evidence.gradient


@criterion("opacity")
def opacity(evidence: Evidence) -> tuple[Tensor, ...]:
    """Opacity alone (the paper's comparison).

    sigma_i.
    """
    return (evidence.opacity,)


@criterion("weight-sum")
def weight_sum(evidence: Evidence) -> tuple[Tensor, ...]:
    """How much it contributes to all pixels together.

    The sum over views and pixels of alpha_i T_i (EAGLES, Girish et al. 2024; MesonGS, Xie et al. 2024).
    """
    return (evidence.weight_sum,)


@criterion("weight-max")
def weight_max(evidence: Evidence) -> tuple[Tensor, ...]:
    """How much it contributes to the pixel to which it matters most.

    The maximum over views and pixels of alpha_i T_i (RadSplat, Niemeyer et al. 2024, Eq. 5).
    """
    return (evidence.weight_max,)


_VOLUME_QUANTILE = 0.9
_VOLUME_POWER = 0.1


@criterion("lightgaussian")
def lightgaussian(evidence: Evidence) -> tuple[Tensor, ...]:
    """How visible it is, weighted by its volume (LightGaussian).

    The sum over views and over the pixels it is drawn in of sigma_i T_i, times min(V_i / V_max90, 1)^0.1 with V_i the
    volume and V_max90 its 90 % quantile (Fan et al. 2024, Eqs. 3 to 5). This is the formula as printed; the published
    code neither clamps the volume nor takes the quantile from the small end.
    """
    ordered = evidence.volume.sort().values
    large = ordered[int(_VOLUME_QUANTILE * (len(ordered) - 1))]
    relative = (evidence.volume / large).clamp(max=1)
    return (evidence.removal.visibility * relative**_VOLUME_POWER,)


@criterion("speedy-splat")
def speedy_splat(evidence: Evidence) -> tuple[Tensor, ...]:
    """How sensitive the images are to its value (Speedy-Splat).

    The sum over views, pixels and channels of (dC/dg_i)^2, where dC/dg_i = -dC_i / g_i (Hanson et al. 2025, Eq. 14).
    """
    return (evidence.removal.value_gradient,)


@criterion("gaussianpop")
def gaussianpop(evidence: Evidence) -> tuple[Tensor, ...]:
    """How much the images change without it (GaussianPOP).

    The sum over views, pixels and channels of dC_i^2 (GaussianPOP, 2026). It equals the sum of (dC / d log sigma_i)^2.
    """
    return (evidence.removal.change,)


@criterion("removal-error")
def removal_error(evidence: Evidence) -> tuple[Tensor, ...]:
    """How much the squared error to the photos grows without it; Gaussians that do harm go first.

    The sum over views, pixels and channels of (C + dC_i - E)^2 - (C - E)^2: exact for one Gaussian at a time.
    """
    return (evidence.removal.error_change,)
