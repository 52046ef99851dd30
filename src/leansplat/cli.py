"""`leansplat COMMAND`: reads the command line, runs one command, prints its answer.

Results go to standard output, everything else to standard error. The exit code is 0, 1 when something failed, or 2 when
something the user gave is wrong; an error of that kind is one sentence.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence

import tyro

from leansplat.commands import COMMANDS
from leansplat.errors import InputError, LeansplatError

_DESCRIPTION = """Make 3D Gaussian Splatting scenes small: train, trim and evaluate, on a CPU.

Try `leansplat demo`, then `leansplat train photos/ -o runs/mine`. `leansplat COMMAND --help` explains a command."""

_EPILOGUE_OF_INTERRUPT = "stopped; a training or trimming goes on with --resume, a download when started again"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name; by default the process's) and return the exit code."""
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="leansplat",
        description=_DESCRIPTION,
        args=None if arguments is None else list(arguments),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
    )
    _send_log_to_stderr()
    try:
        _use_threads(getattr(command, "threads", None))
        answer = command.run()
    except InputError as error:
        return _fail(str(error), 2)
    except LeansplatError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _fail(_EPILOGUE_OF_INTERRUPT, 1)
    print(json.dumps(answer.values, allow_nan=False) if command.json else answer.text)
    return 0


def _use_threads(count: int | None) -> None:
    if count is not None:
        from leansplat.simd.threads import set_thread_count

        set_thread_count(count)


def _send_log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("leansplat: %(message)s"))
    logger = logging.getLogger("leansplat")
    logger.handlers = [handler]
    logger.propagate = False


def _fail(sentence: str, code: int) -> int:
    print(f"leansplat: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
