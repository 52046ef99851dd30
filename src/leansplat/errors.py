"""The exceptions a user can meet.

Every message is one sentence that says which file or setting, what is wrong with it, and what to do. The command line
prints that sentence and exits with code 2 for `InputError`, 1 for any other failure.
"""

from __future__ import annotations


class LeansplatError(Exception):
    """Base of everything leansplat raises on purpose."""


class InputError(LeansplatError):
    """Something the user gave is wrong: a file, a folder, a setting."""


class SceneFileError(InputError):
    """A scene file cannot be read or written."""


class CaptureError(InputError):
    """A capture (photos with cameras) cannot be loaded."""


class RunError(InputError):
    """A run folder or a checkpoint in it cannot be used."""


class StoppedError(LeansplatError):
    """Work was stopped before its end, as somebody asked, and can be gone on with."""
