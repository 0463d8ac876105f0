"""How the loops are compiled: once, ahead of the first call, without the interpreter's lock."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from databuild.dedup.kernels.storing import places

if TYPE_CHECKING:
    from collections.abc import Callable


def _load_numba() -> None:
    """Load numba's own functions without SciPy's linear algebra, which takes 0.3 s.

    As they are loaded they import it to see whether it is there; a loop that needs it imports it
    when it is compiled. No loop here does.
    """
    from numba.np import linalg

    ensure = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ensure


with suppress(ImportError, AttributeError):  # of another version of numba: as it likes
    _load_numba()

Loop = TypeVar("Loop", bound="Callable[..., Any]")

U64 = np.uint64
ONE = U64(1)


def array(dtype: str, *, writable: bool = False, ndim: int = 1) -> Any:
    """The type of a contiguous array; one that is only read may be read-only or memory-mapped."""
    return types.Array(getattr(types, dtype), ndim, "C", readonly=not writable)


def compiled(result: Any, *arguments: Any) -> Callable[[Loop], Loop]:
    """Compile for these types when the module is imported, or load what was compiled before."""

    def compile_now(loop: Loop) -> Loop:
        options: dict[str, Any] = {"nogil": True, "boundscheck": False}
        for beside in (True, False):
            # OSError: what is stored beside the source is of another version and read-only.
            # RuntimeError: there is no such place, neither there nor at home.
            with suppress(OSError, RuntimeError), places(beside=beside):
                return cast("Loop", numba.njit([result(*arguments)], cache=True, **options)(loop))
        return cast("Loop", numba.njit([result(*arguments)], **options)(loop))

    return compile_now


def inlined(part: Loop) -> Loop:
    """A part of a loop: compiled into every loop that calls it."""
    return cast("Loop", numba.njit(nogil=True, boundscheck=False)(part))


def _address(context: Any, builder: Any, array_type: Any, parts: Any, width: int) -> Any:
    found = context.make_array(array_type)(context, builder, parts[0])
    place = builder.gep(found.data, [parts[1]])
    return builder.bitcast(place, ir.IntType(width).as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load64(_typing: Any, data: Any, place: Any) -> Any:  # noqa: ARG001 - numba reads the arity
    """The 8 bytes from a place on as one little-endian number."""

    def generate(context: Any, builder: Any, signature: Any, parts: Any) -> Any:
        address = _address(context, builder, signature.args[0], parts, 64)
        return builder.load(address, align=1)

    return types.uint64(data, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def store32(_typing: Any, data: Any, place: Any, value: Any) -> Any:  # noqa: ARG001
    """Write the 4 bytes of a number, the lowest first, from a place on."""

    def generate(context: Any, builder: Any, signature: Any, parts: Any) -> Any:
        address = _address(context, builder, signature.args[0], parts, 32)
        builder.store(parts[2], address, align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint32), generate


@intrinsic  # type: ignore[untyped-decorator]
def store64(_typing: Any, data: Any, place: Any, value: Any) -> Any:  # noqa: ARG001
    """Write the 8 bytes of a number, the lowest first, from a place on."""

    def generate(context: Any, builder: Any, signature: Any, parts: Any) -> Any:
        address = _address(context, builder, signature.args[0], parts, 64)
        builder.store(parts[2], address, align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def zeros_below(_typing: Any, value: Any) -> Any:  # noqa: ARG001
    """How many zero bits are below the lowest one bit of a number that is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, parts: Any) -> Any:
        return builder.cttz(parts[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate
