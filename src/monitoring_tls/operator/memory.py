"""Gives memory that was needed for a moment back to the system.

Filling the caches and looking at many ports takes tens of MiB for a moment; glibc keeps the freed pages unless told.
"""

import ctypes
import gc
from collections.abc import Callable


def _find_trim() -> Callable[[int], int] | None:
    """Glibc's ``malloc_trim`` (malloc_trim(3)); None where the C library is another."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim


_trim = _find_trim()


def give_back() -> None:
    """Collect garbage, and return freed pages. Takes some milliseconds: for moments when nothing else is to do."""
    gc.collect()
    if _trim is not None:
        _trim(0)
