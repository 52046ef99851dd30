"""Strategies: what happens to the Gaussians of a scene between the steps of its training.

A strategy is a file here and a line below, or a class in a script of your own; `strategy.py` says what it is made of.
The published recipe is one of them.
"""

from leansplat.training.strategies.budget import BudgetTraining
from leansplat.training.strategies.densification import Densification
from leansplat.training.strategies.faint_pruning import FaintPruning
from leansplat.training.strategies.learned_mask import LearnedMask
from leansplat.training.strategies.lineage import Lineage
from leansplat.training.strategies.strategy import STRATEGIES, AfterStep, Strategy, strategy

__all__ = [
    "STRATEGIES",
    "AfterStep",
    "BudgetTraining",
    "Densification",
    "FaintPruning",
    "LearnedMask",
    "Lineage",
    "Strategy",
    "strategy",
]
