"""The paper's datasets: which scenes they have, at which size the paper uses them, and fetching them.

`catalogue` is a table as data; `transfer` takes single scenes out of the publishers' archives without downloading the
archives, because `archive` reads them in place through `range_file`.
"""

from leansplat.datasets.catalogue import DATASETS, Dataset, Scene, find, scenes
from leansplat.datasets.transfer import Fetched, download

__all__ = ["DATASETS", "Dataset", "Fetched", "Scene", "download", "find", "scenes"]
