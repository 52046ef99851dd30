"""`Sensitivity`: how sensitive images are to the parameters of each Gaussian, which may be rounded or shared and which
not.

    S(p) = 1 / (sum of P_v) * sum over views v of |dE_v / dp|

with E_v the sum of all values of image v and P_v its pixels: Niedermayr et al. 2024, Eq. 4, of the pixels that no mask
hides. One backward pass a view, no photo needed. p goes through the colour coefficients and the six entries of the
covariance normalised by its trace, for which the trace counts as a parameter of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sensitivity:
    """S of the parameters of N Gaussians; zero where no view shows them.

    Args:
        colors: (N, 3 K) float32, of `sh0` and `shN`, coefficient by coefficient.
        covariances: (N, 6) float32, of the entries xx, xy, xz, yy, yz, zz of the normalised covariance, where one off
            the diagonal stands for both of its places.
    """

    colors: Tensor
    covariances: Tensor

    def __getitem__(self, rows: Tensor) -> Sensitivity:
        """That of the Gaussians at a mask (N,) or at indices (M,)."""
        return Sensitivity(self.colors[rows], self.covariances[rows])

    @property
    def of_color(self) -> Tensor:
        """(N,) that of a Gaussian's colour: the largest of its coefficients'."""
        return self.colors.amax(dim=1)

    @property
    def of_shape(self) -> Tensor:
        """(N,) that of a Gaussian's shape: the largest of its normalised covariance's entries'."""
        return self.covariances.amax(dim=1)
