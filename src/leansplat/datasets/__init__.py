"""The paper's datasets and the captures of our results: which scenes there are, at which size, and fetching them.

`catalogue` is a table as data; `transfer` takes single scenes out of the publishers' archives without downloading the
archives, because `archive` reads them in place through `range_file`. `single_files` are scenes that lie file by file.
"""

from leansplat.datasets.catalogue import DATASETS, PAPER, Dataset, Scene, find, scenes
from leansplat.datasets.transfer import Fetched, download

__all__ = ["DATASETS", "PAPER", "Dataset", "Fetched", "Scene", "download", "find", "scenes"]
