"""glibc's allocator, told to keep the memory that a model frees.

Every layer of a forward pass allocates and frees tensors of many megabytes. By default glibc maps each of them anew
and hands it back, and the kernel zeroes the pages again and again. What that costs on a machine is measured by
eval/scoring_speed.py (`allocator_speedup`).
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Serve large blocks from the heap and keep the heap. Returns whether the C library took the settings."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)
