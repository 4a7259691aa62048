"""The allocators of main and GPU memory: glibc's, told to keep the memory that a model frees, and torch's, told to give it back.

Every layer of a forward pass allocates and frees tensors of many megabytes. By default glibc maps each of them anew
and hands it back, and the kernel zeroes the pages again and again. What that costs on a machine is measured by
eval/bench/scoring_speed.py (`allocator_speedup`).

The price is memory: blocks are aligned, so a hole does not take a tensor of the size that left it, and in training the
process grows by a quarter to a half beyond what is alive (eval/results/training_memory.json). Where that is too much, glibc's own variables
win, and MALLOC_MMAP_THRESHOLD_=131072 gives every tensor back.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")


def keep_freed_memory() -> bool:
    """Serve large blocks from the heap and keep the heap. Returns whether the C library took the settings; settings that
    the user made in the environment are left alone."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)


def free_memory() -> None:
    """Before the next model loads: what nobody holds any more goes now, and its room on the GPU is open to everybody. Models,
    adapters and trainers hold each other, so without this they would stay until the collector comes by."""
    gc.collect()
    torch = sys.modules.get("torch")  # whoever did not import it has nothing there
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
