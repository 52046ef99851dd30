"""How much physical memory a process may still take, so that a capture that cannot fit is refused in a sentence
instead of swapping or being killed; and how much it took. Each operating system is asked in its own way; a container's
limit counts too.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

_CONTAINER = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)
"""Where a container's limit is, and what is taken of it, by the two versions of control groups; and in `memory.stat`
what of that is files that were read, whose memory is free for the asking."""


def available_memory() -> int | None:
    """Bytes of physical memory that can be taken without swapping, or None where the system does not say."""
    known = [amount for amount in (_linux_available(), _container_available()) if amount is not None]
    if known:
        return min(known)
    return _windows_available() if sys.platform == "win32" else _physical()


def peak_memory() -> int:
    """Bytes of physical memory that this process had at most, 0 where the system does not say."""
    with suppress(OSError, StopIteration):  # what Linux says of resources used counts who started this process, too
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _linux_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    amounts = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(amounts[0]) * 1024 if amounts else None


def _container_available() -> int | None:
    for folder, limit, usage, files in _CONTAINER:
        most, taken = (_number(folder / name) for name in (limit, usage))
        if most is not None:
            return max(0, most - max(0, (taken or 0) - _cached(folder / "memory.stat", files)))
    return None


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cached(stat: Path, names: tuple[str, ...]) -> int:
    try:
        lines = [line.split() for line in stat.read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(line[1]) for line in lines if len(line) == 2 and line[0] in names)


def _physical() -> int | None:
    """All physical memory: macOS does not tell the available part without a library."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _windows_available() -> int | None:
    class MemoryStatus(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total_physical", ctypes.c_ulonglong),
            ("available_physical", ctypes.c_ulonglong),
            ("total_page_file", ctypes.c_ulonglong),
            ("available_page_file", ctypes.c_ulonglong),
            ("total_virtual", ctypes.c_ulonglong),
            ("available_virtual", ctypes.c_ulonglong),
            ("available_extended_virtual", ctypes.c_ulonglong),
        )

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    windows = getattr(ctypes, "windll", None)
    if windows is None or not windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available_physical)
