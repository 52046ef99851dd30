"""`leansplat COMMAND`: reads the command line, runs one command, prints its answer.

Results go to standard output, everything else to standard error. The exit code is 0, 1 when something failed, or 2 when
something the user gave is wrong; an error of that kind is one sentence. Where the reader of a pipe has gone it is 141,
without a word, as for any program that SIGPIPE ends.
"""

from __future__ import annotations

import atexit
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import reduce
from operator import or_
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

from leansplat.distributed.environment import Place, place, threads_of, work_alone
from leansplat.errors import InputError, LeansplatError
from leansplat.invocation import invoked_as
from leansplat.streams import OutputError, standard_streams

if TYPE_CHECKING:
    from leansplat.commands.answer import Command

_DESCRIPTION = """Make 3D Gaussian Splatting scenes small: train, trim and evaluate, on a CPU.

Try `leansplat demo`, then `leansplat shrink scene.ply -o scene.sog`, or `leansplat train photos/ -o runs/mine` with
photos and no scene yet. `leansplat COMMAND --help` explains a command, `leansplat --version` says the version."""

_EPILOGUE_OF_INTERRUPT = "stopped; a training or trimming goes on with --resume, a download when started again"
_READER_HAS_GONE = 141
_NO_MEMORY = "can't allocate memory"
"""What PyTorch says, in a `RuntimeError`."""


atexit.register(gc.freeze)
"""An interpreter that ends goes through all objects once more, for a tenth of the time that `info` takes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name; by default the process's) and return the exit code."""
    with standard_streams(), _interrupts() as interrupts:
        try:
            here = place()
            code = _run(arguments, here) if here is None or here.leads else _follow(arguments, here)
            sys.stdout.flush()
            return code
        except OutputError as error:
            if error.unread:
                return _READER_HAS_GONE
            return _fail(f"standard output cannot be written ({error}); send it somewhere else", 1)
        except InputError as error:
            return _fail(str(error), 2)
        except LeansplatError as error:
            return _fail(str(error), 1)
        except KeyboardInterrupt:
            return _stopped(interrupts)
        except Exception as error:
            if interrupts:  # what was interrupted may have made something else of it
                return _stopped(interrupts)
            if isinstance(error, OSError):
                return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)
            if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
                return _fail("there is not enough memory; use smaller photos (--downscale) or a smaller scene", 1)
            raise


def parse(arguments: Sequence[str] | None = None) -> Command:
    """The command that a command line describes, ready to `run`; without one, with --help or with --version, the
    process ends."""
    # Imported here, so that Ctrl-C is answered from the start.
    import tyro

    from leansplat.commands import TAKES_COMMANDS, command_makers

    words = sys.argv[1:] if arguments is None else list(arguments)
    if words == ["--version"]:
        from importlib.metadata import version

        print(f"leansplat {version('leansplat')}")
        sys.exit(0)
    inner: list[str] = []
    if words[:1] and words[0] in TAKES_COMMANDS and "--" in words:
        words, inner = words[: words.index("--")], words[words.index("--") + 1 :]
    subcommands: list[Any] = [
        Annotated[object, tyro.conf.subcommand(name, constructor=maker)]
        for name, maker in command_makers(words).items()
    ]
    command: Command = tyro.cli(
        reduce(or_, subcommands),
        prog="leansplat",
        description=_DESCRIPTION,
        args=words,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
    )
    return replace(command, command=tuple(inner)) if inner else command  # type: ignore[type-var]


def _run(arguments: Sequence[str] | None, here: Place | None) -> int:
    command = parse(arguments)
    _import_numpy()
    _send_log_to_stderr()
    if here is not None and not getattr(command, "shared", False):
        name = type(command).__name__.lower()
        logging.getLogger("leansplat").warning("%s is done by one of the %d processes", name, here.count)
        work_alone()
        here = None
    _use_threads(getattr(command, "threads", None), here)
    with invoked_as(sys.argv[1:] if arguments is None else arguments), _together(here):
        answer = command.run()
    if not answer.said:
        closing = () if command.json or getattr(command, "quiet", False) else answer.closing
        print(json.dumps(answer.values, allow_nan=False) if command.json else "\n".join([answer.text, *closing]))
    return _fail(answer.failed, 1) if answer.failed else 0


@contextmanager
def _together(here: Place | None) -> Iterator[None]:
    """Lead the other processes during this block, where there are any."""
    if here is None:
        yield
    else:
        from leansplat.processes.together import leading

        with leading(here):
            yield


def _follow(arguments: Sequence[str] | None, here: Place) -> int:
    """Work for process 0, which alone reads, writes and speaks; returns the exit code."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        command = parse(arguments)
        if not getattr(command, "shared", False):
            return 0
        _import_numpy()
        _send_log_to_stderr()
        try:
            _use_threads(getattr(command, "threads", None), here)
            from leansplat.processes.together import follow

            sentence = follow(here)
        except (LeansplatError, KeyboardInterrupt):
            return 1
    return 0 if sentence is None else _fail(sentence, 1)


def _import_numpy() -> None:
    """Import NumPy with a single thread for its matrix products, which are small wherever this package has any.

    The library behind them, OpenBLAS, would start a thread for each core when it is loaded, and they wait for work by
    spinning: on two cores a third of the processor time of `convert`. What the environment says goes first.
    """
    threads = "OPENBLAS_NUM_THREADS"
    if "numpy" in sys.modules or threads in os.environ:
        return
    os.environ[threads] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[threads]  # other libraries, and other processes, are to have theirs


def _use_threads(count: int | None, here: Place | None) -> None:
    """Use as many threads as are asked for, by default one per core or this process's share of those."""
    if here is not None and count is None:
        count = threads_of(here)
    if count is not None:
        from leansplat.simd.threads import set_thread_count

        set_thread_count(count)


def _send_log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("leansplat: %(message)s"))
    logger = logging.getLogger("leansplat")
    logger.handlers = [handler]
    logger.propagate = False


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The signals of Ctrl-C that arrive during this block, each of which also raises `KeyboardInterrupt`."""
    seen: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _stopped(interrupts: list[int]) -> int:
    if interrupts:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough
        exec(
            ""
        )  # An interrupt in code that was made from text would else end the interpreter by a signal, not our code.
    return _fail(_EPILOGUE_OF_INTERRUPT, 1)


def _fail(sentence: str, code: int) -> int:
    print(f"leansplat: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
