"""How kernels are compiled: `kernel` for calls from Python, `inner` and `inlined` for calls from other kernels,
`intrinsic` for what is said to LLVM directly.

numba's own cache notices an edit of a kernel's file, not of the modules whose functions it calls, so the cache lies in
a folder of ours (`protocols.kernels.cache`) that any edit changes.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, cast

from numba import config, extending, njit

from protocols.kernels.cache import cache_folder

Function = TypeVar("Function", bound=Callable[..., Any])

if "scipy.linalg" not in sys.modules:  # numba would load its BLAS, a quarter of a second, for no kernel here
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]


def kernel(function: Function) -> Function:
    """Compile for calls from Python: without the interpreter's lock, cached on disk where that is possible."""
    dispatcher = njit(nogil=True, error_model="numpy")(function)
    if (folder := cache_folder()) is not None:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            dispatcher.enable_caching()
        finally:
            config.CACHE_DIR = before
    return cast(Function, dispatcher)


def inner(function: Function) -> Function:
    """Compile for calls from other kernels only: no Python entry point."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", "nogil": True}
    return cast(Function, njit(**options)(function))


def inlined(function: Function) -> Function:
    """As `inner`, always inlined: what passes many vectors would otherwise go through memory."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", "forceinline": True}
    return cast(Function, njit(nogil=True, **options)(function))


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function of types that gives a signature and what builds its code, to be called in kernels as a function."""
    return extending.intrinsic(function)
