"""`diagnose`: whether every engine that is here works, and as the CPU's does.

It is how somebody with a graphics card verifies what nobody without one can. What an engine draws of a small scene, its
gradients, and what it finds out about Gaussians are compared with the CPU's; so is a training of `STEPS` steps; and a
step is timed. The scene is made up here, so that nothing has to be at hand.
"""

from leansplat.doctor.comparison import STEPS, Checks, Finding
from leansplat.doctor.diagnosis import Diagnosis, diagnose

__all__ = ["STEPS", "Checks", "Diagnosis", "Finding", "diagnose"]
