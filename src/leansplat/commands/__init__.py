"""The commands of `leansplat`: one module, and in it one small dataclass, for each.

A dataclass is the command line: tyro makes the options from its fields and the help from its docstrings. `run` calls
the library and returns an `Answer`; the library is imported there, so that `--help` does not wait for PyTorch.
"""

from collections.abc import Callable

from leansplat.commands.answer import Command
from leansplat.commands.compress import Compress
from leansplat.commands.convert import Convert
from leansplat.commands.demo import Demo
from leansplat.commands.download import Download
from leansplat.commands.eval import Eval
from leansplat.commands.info import Info
from leansplat.commands.paper import paper
from leansplat.commands.render import Render
from leansplat.commands.train import Train
from leansplat.commands.trim import Trim

COMMANDS: dict[str, Callable[..., Command]] = {
    "demo": Demo,
    "train": Train,
    "trim": Trim,
    "compress": Compress,
    "eval": Eval,
    "render": Render,
    "info": Info,
    "convert": Convert,
    "download": Download,
    "paper": paper,
}
"""Commands by name, in the order `leansplat --help` lists them."""
