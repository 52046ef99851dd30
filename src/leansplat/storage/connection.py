"""`reach`: does something with a place in storage, again while that is away, and says in a sentence what is wrong.

Whether to try again is decided by the kind of error alone: a server that is away, slow or busy may come back, while a
missing bucket or a missing right will not. So whatever is done through `reach` must be such that it can be done twice.
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from leansplat.errors import InputError, LeansplatError
from leansplat.storage.addresses import checked, scheme_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PATIENCE = 120.0
"""Seconds for which a place that cannot be reached is tried again, from the first failure."""
_FIRST_WAIT = 0.2
_LONGEST_WAIT = 10.0

_EXTRAS = {"s3": "pip install 'leansplat[s3]'", "gs": "pip install gcsfs"}
_AWAY = {
    getattr(errno, name)
    for name in ("EAGAIN", "EBUSY", "EREMOTEIO", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EPIPE")
    if hasattr(errno, name)
}
_AWAY_CLASSES = {
    "botocore.exceptions.HTTPClientError",  # among them those of connections and of time that has run out
    "botocore.exceptions.ConnectionError",
    "botocore.parsers.ResponseParserError",  # a reply that broke off
    "aiohttp.client_exceptions.ClientConnectionError",
    "aiohttp.client_exceptions.ClientPayloadError",
    "http.client.IncompleteRead",
    "fsspec.exceptions.FSTimeoutError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.Timeout",
    "gcsfs.retry.HttpError",
}
_NO_CREDENTIALS = {"botocore.exceptions.NoCredentialsError", "botocore.exceptions.PartialCredentialsError"}

_log = logging.getLogger("leansplat")

Result = TypeVar("Result")


class AwayError(LeansplatError):
    """Storage could not be reached, for as long as it was tried."""


def filesystem(address: str) -> tuple[AbstractFileSystem, str]:
    """What fsspec reaches an address with, and the address as that knows it.

    Credentials and endpoints are found as boto3 and gcsfs find them: in the environment, in their files, or from the
    machine.

    Raises:
        InputError: it is no address, or the package for it is not installed.
    """
    import fsspec

    address = checked(address)
    scheme = scheme_of(address)
    options: dict[str, Any] = {"use_listings_cache": False}  # others write there meanwhile
    if scheme == "s3":
        options["config_kwargs"] = {"retries": {"max_attempts": 2}, "connect_timeout": 5, "read_timeout": 60}
    try:
        found, path = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        raise InputError(
            f"{address} cannot be reached without a package for {scheme}://; install it with {_EXTRAS[scheme]}"
        ) from error
    return found, str(path)


def reach(address: str, act: Callable[[AbstractFileSystem, str], Result], *, patience: float | None = None) -> Result:
    """What `act` returns for the file system and the path of an address, tried again while that cannot be reached.

    Waits grow from a fifth of a second to ten seconds, each by chance up to a quarter longer, so that a thousand
    workers do not all come back at once.

    Args:
        act: must do no harm when done twice. What it raises of its own, `FileExistsError` and `FileNotFoundError`
            among it, is passed on, but for a missing bucket.
        patience: seconds, instead of `PATIENCE`.

    Raises:
        InputError: there is no such bucket, no right to it, no credentials or no package for it.
        AwayError: it could not be reached in time.
    """
    files, path = filesystem(address)
    began, wait = None, _FIRST_WAIT
    while True:
        try:
            return act(files, path)
        except LeansplatError:
            raise
        except Exception as error:
            sentence = _sentence(address, error)
            if sentence is not None:
                raise InputError(sentence) from error
            if not _is_away(error):
                raise
            began = time.monotonic() if began is None else began
            longest = PATIENCE if patience is None else patience
            if time.monotonic() + wait > began + longest:
                raise AwayError(
                    f"{address} could not be reached for {longest:.0f} s ({_first_line(error)}); see whether the "
                    "storage is there, then start again"
                ) from error
            if wait == _FIRST_WAIT:
                _log.warning("%s cannot be reached (%s); trying again", address, _first_line(error))
            time.sleep(wait * (1 + 0.25 * random.random()))
            wait = min(2 * wait, _LONGEST_WAIT)


def _names(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}


def _is_away(error: Exception) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)) or _names(error) & _AWAY_CLASSES:
        return True
    return isinstance(error, OSError) and error.errno in _AWAY


def _sentence(address: str, error: Exception) -> str | None:
    """What an error that will not pass means; None of any other."""
    if isinstance(error, FileNotFoundError) and "bucket" in _first_line(error).lower().split():
        bucket = "/".join(checked(address).split("/")[:3])
        return f"there is no bucket {bucket} (asked for {address}); check its name, or make it first"
    if isinstance(error, PermissionError):
        return f"{address} may not be used ({_first_line(error)}); check the rights and the credentials of this machine"
    if _names(error) & _NO_CREDENTIALS:
        return f"{address} cannot be used without credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{address}: the disk is full ({error.strerror}); free some space or choose another scratch folder"
    return None


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
