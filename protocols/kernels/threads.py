"""Work on ranges of rows in several threads: kernels release the interpreter's lock."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="kernel")


def in_parts(count: int, work: Callable[[slice], object], *, least: int, multiple: int = 1) -> None:
    """Call `work` on slices that make up range(count), at once where there are cores for it.

    least: rows below which a thread does not pay; multiple: what all slices but the last have a multiple of.
    Raises what the first failing call raised.
    """
    threads = max(1, min(cores(), count // least))
    step = -(-count // (threads * multiple)) * multiple
    parts = [slice(start, min(start + step, count)) for start in range(0, count, max(step, 1))]
    if len(parts) <= 1:
        for part in parts:
            work(part)
        return
    for done in [_pool().submit(work, part) for part in parts]:
        done.result()
