"""Codebooks: a few numbers or vectors that stand for many, and which of them is nearest.

`kmeans` and `scalar_codebook` find one; `nearest` and `nearest_codes` look it up. `candidates` and `nearest_candidates`
are what k-means itself is made of, for codebooks that train along with something else.
"""

from leansplat.clustering.kmeans import add_up, kmeans
from leansplat.clustering.nearest import candidates, nearest, nearest_candidates
from leansplat.clustering.scalar import nearest_codes, scalar_codebook

__all__ = ["add_up", "candidates", "kmeans", "nearest", "nearest_candidates", "nearest_codes", "scalar_codebook"]
