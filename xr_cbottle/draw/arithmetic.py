"""Drawing under settings of its own: what a program sets in torch or numpy does not reach the values that it reads.

Settings are of two kinds. Those of a thread (autocast, modes, gradients, how tiny numbers are handled) are put
aside while that thread draws. Those of the whole process (kernels, TF32, deterministic algorithms) are put aside from
the first draw that needs it to the last one that goes on. Everything is as it was afterwards. torch's default dtype is
not touched, because other threads would see it: networks and samplers name the dtype of all that they make.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from xr_cbottle.base import forks

_AUTOCAST_DEVICES = ("cpu", "cuda")
_NUMPY_ERRORS: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@contextlib.contextmanager
def drawing(precision: str, *, gradients: bool = False) -> Iterator[None]:
    """Run networks without anything that the caller has set in torch or numpy.

    Parameters
    ----------
    precision
        One of `xr_cbottle.draw.defaults.PRECISIONS`: TF32 is used only for ``"tf32"``, and only on a GPU.
    gradients
        Whether torch keeps what gradients need.
    """
    with (
        _thread_settings(),
        _process.use(precision == "tf32"),
        torch.inference_mode(not gradients),
        torch.set_grad_enabled(gradients),
    ):
        yield


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Make networks without anything that the caller has set in torch or numpy; takes none of its random numbers."""
    with _thread_settings(), _process.use(None), torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        yield


@contextlib.contextmanager
def _thread_settings() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for put_aside in (_compiler, _tracing, _function_modes, _transforms, _dispatch_modes, _threads, _denormals):
            stack.enter_context(put_aside())
        for device in _AUTOCAST_DEVICES:
            stack.enter_context(_no_autocast(device))
        stack.enter_context(np.errstate(**_NUMPY_ERRORS))
        yield


@contextlib.contextmanager
def _no_autocast(device: str) -> Iterator[None]:
    before = torch.is_autocast_enabled(device)
    torch.set_autocast_enabled(device, False)
    try:
        yield
    finally:
        torch.set_autocast_enabled(device, before)


@contextlib.contextmanager
def _compiler() -> Iterator[None]:
    """torch.compile around a read: what it calls is not compiled, which would change the last bits."""
    evaluator = torch._C._dynamo.eval_frame
    before = evaluator.set_eval_frame(None)
    try:
        yield
    finally:
        evaluator.set_eval_frame(before)


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    before = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(before)  # type: ignore[attr-defined]


@contextlib.contextmanager
def _function_modes() -> Iterator[None]:
    """Modes such as ``torch.device("meta")`` and `torch.set_default_device`."""
    modes = [torch._C._pop_torch_function_stack() for _ in range(torch._C._len_torch_function_stack())]
    try:
        yield
    finally:
        for mode in reversed(modes):
            torch._C._push_on_torch_function_stack(mode)


@contextlib.contextmanager
def _transforms() -> Iterator[None]:
    """`torch.func.grad`, `torch.vmap` and the like around a read."""
    if torch._C._functorch.peek_interpreter_stack() is None:
        yield
        return
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    with temporarily_clear_interpreter_stack():
        yield


@contextlib.contextmanager
def _dispatch_modes() -> Iterator[None]:
    """Modes below functions, such as tensors without values."""
    if not torch._C._len_torch_dispatch_stack():
        yield
        return
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():
        yield


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    """One thread in a forked child: torch would wait for ever for the threads that only the parent has."""
    before = torch.get_num_threads()
    if not forks.threads_lost() or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _denormals() -> Iterator[None]:
    """Keep numbers below 1e-38; torch sets what becomes of them and does not say what is set, so that it is tried."""
    tiny = np.array([np.finfo(np.float32).smallest_subnormal])
    if (tiny * np.float32(1))[0] != 0:
        yield
        return
    torch.set_flush_denormal(False)
    try:
        yield
    finally:
        torch.set_flush_denormal(True)


_Undo = list[Callable[[], object]]


class _Switch(NamedTuple):
    """A setting of the process: how it is read and put, and what drawing wants."""

    get: Callable[[], Any]
    put: Callable[[Any], object]
    wanted: Any


def _switch(name: str, wanted: Any, reader: str | None = None) -> Iterator[_Switch]:
    get = getattr(torch._C, f"_get_{reader or name}", None)
    put = getattr(torch._C, f"_set_{name}", None)
    if get is None or put is None:  # this torch is older or newer and has no such setting
        return
    if isinstance(get(), tuple):  # more than one value: later releases of torch split some settings
        yield _Switch(get, lambda values: put(*values), (wanted,) * len(get()))
    else:
        yield _Switch(get, put, wanted)


def _put_deterministic(values: tuple[bool, bool]) -> None:
    torch._C._set_deterministic_algorithms(values[0], warn_only=values[1])


def _get_deterministic() -> tuple[bool, bool]:
    return torch._C._get_deterministic_algorithms(), torch._C._get_deterministic_algorithms_warn_only()


_SWITCHES = (
    *_switch("mkldnn_enabled", True),
    *_switch("mkldnn_deterministic", False),
    *_switch("nnpack_enabled", True),
    *_switch("cudnn_enabled", True),
    *_switch("cudnn_benchmark", False),
    *_switch("cudnn_deterministic", True),
    *_switch("cudnn_depthwise_kernel", "auto"),
    *_switch("cublas_allow_fp16_reduced_precision_reduction", True),
    *_switch("cublas_allow_bf16_reduced_precision_reduction", True),
    *_switch("cublas_allow_fp16_accumulation", False),
    *_switch("cpu_allow_fp16_reduced_precision_reduction", False),
    *_switch("math_sdp_allow_fp16_bf16_reduction", False),
    *_switch("sdp_use_flash", True, "flash_sdp_enabled"),
    *_switch("sdp_use_mem_efficient", True, "mem_efficient_sdp_enabled"),
    *_switch("sdp_use_math", True, "math_sdp_enabled"),
    *_switch("sdp_use_cudnn", True, "cudnn_sdp_enabled"),
    _Switch(_get_deterministic, _put_deterministic, (False, False)),
    *_switch("deterministic_fill_uninitialized_memory", True),
    _Switch(
        torch.__future__.get_swap_module_params_on_conversion,
        torch.__future__.set_swap_module_params_on_conversion,
        False,
    ),
    _Switch(
        torch.__future__.get_overwrite_module_params_on_conversion,
        torch.__future__.set_overwrite_module_params_on_conversion,
        False,
    ),
)


_OPERATIONS = ("conv", "matmul", "rnn")
#: Since torch 2.9; before there were three settings.
_HAS_PRECISIONS = hasattr(torch._C, "_set_fp32_precision_setter")
_Place = tuple[str, str]


class _Float32:
    """How float32 is multiplied: by a precision of each backend, or of one of its operations that has its own."""

    @staticmethod
    def fits(tf32: bool, gpu: bool) -> bool:
        """Whether all is as drawing wants it, on a GPU or without one."""
        exact = {"ieee", "none"}
        if not all(_effective("mkldnn", operation) in exact for operation in _OPERATIONS):
            return False
        if not gpu:
            return True
        wanted = {"tf32"} if tf32 else exact
        fit = all(_effective("cuda", operation) in wanted for operation in _OPERATIONS)
        return fit and _matmul_precision() == ("high" if tf32 else "highest")

    @staticmethod
    def put_aside(tf32: bool) -> _Undo:
        """Make all as drawing wants it; returns what undoes it, the last one first."""
        undo: _Undo = []
        older, before = ("high" if tf32 else "highest"), _matmul_precision()
        if before != older or not _agree():  # torch refuses to multiply where the older setting disagrees
            products = {(backend, "matmul"): _own_precision(backend, "matmul") for backend in ("mkldnn", "cuda")}
            torch._C._set_float32_matmul_precision(older)
            undo += [_putting(place, own) for place, own in products.items()]
            undo.append(lambda: torch._C._set_float32_matmul_precision(before))
        for backend, wanted in (("mkldnn", "ieee"), ("cuda", "tf32" if tf32 else "ieee")):
            undo += _put_backend(backend, wanted)
        return undo


def _put_backend(backend: str, wanted: str) -> _Undo:
    """Put a backend, which most operations follow, and then those that have a precision of their own."""
    whole = (backend, "all")
    undo = [_putting(whole, _own_precision(*whole))]
    _putting(whole, wanted)()
    for operation in _OPERATIONS:
        found = _effective(backend, operation)
        if found != wanted:
            undo.append(_putting((backend, operation), found))
            _putting((backend, operation), wanted)()
    return undo


def _putting(place: _Place, precision: str) -> Callable[[], object]:
    return lambda: torch._C._set_fp32_precision_setter(*place, precision)


def _effective(backend: str, operation: str) -> str:
    return torch._C._get_fp32_precision_getter(backend, operation)


def _agree() -> bool:
    """Whether the older setting of products agrees with the newer ones; torch does not read it otherwise."""
    try:
        torch.get_float32_matmul_precision()
    except RuntimeError:
        return False
    return True


def _matmul_precision() -> str:
    """The older setting of products: where torch refuses to say it, it is ``"highest"``."""
    return torch.get_float32_matmul_precision() if _agree() else "highest"


def _own_precision(backend: str, operation: str) -> str:
    """Precision that a place has of its own, or ``"none"``: found by changing what it may follow."""
    if backend == "generic":
        return _effective(backend, operation)
    parent = ("generic", "all") if operation == "all" else (backend, "all")
    before, found = _own_precision(*parent), []
    for tried in ("ieee", "tf32"):
        _putting(parent, tried)()
        found.append(_effective(backend, operation))
    _putting(parent, before)()
    return found[0] if found[0] == found[1] else "none"


def _older_switches(tf32: bool) -> tuple[_Switch, ...]:
    """What later releases call precisions."""
    return (
        *_switch("float32_matmul_precision", "high" if tf32 else "highest"),
        *_switch("cudnn_allow_tf32", tf32),
        *_switch("onednn_allow_tf32", False),
    )


class _Process:
    """The settings of the process while somebody draws.

    Draws with TF32 and without wait for each other; all others go on at the same time.
    """

    def __init__(self) -> None:
        self._undo: _Undo = []
        self._undo_precision: _Undo = []
        self._renew()
        forks.in_child(self._renew)

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._drawing = 0
        self._tf32: bool | None = None
        _undo_all(self._undo_precision)
        _undo_all(self._undo)

    @contextlib.contextmanager
    def use(self, tf32: bool | None) -> Iterator[None]:
        """Put the process's settings aside; None: whatever is set for TF32 does not matter."""
        with self._changed:
            while tf32 is not None and self._tf32 not in (None, tf32):
                self._changed.wait()
            self._enter(tf32)
        try:
            yield
        finally:
            with self._changed:
                self._leave(tf32)

    def _enter(self, tf32: bool | None) -> None:
        self._inside += 1
        self._put_aside(_SWITCHES, self._undo)
        if tf32 is None:
            return
        self._drawing += 1
        self._tf32 = tf32
        if not _HAS_PRECISIONS:
            self._put_aside(_older_switches(tf32), self._undo_precision)
        elif not _Float32.fits(tf32, torch.cuda.is_available()):
            self._undo_precision += _Float32.put_aside(tf32)

    def _leave(self, tf32: bool | None) -> None:
        if tf32 is not None:
            self._drawing -= 1
        if not self._drawing:
            _undo_all(self._undo_precision)
            self._tf32 = None
            self._changed.notify_all()
        self._inside -= 1
        if not self._inside:
            _undo_all(self._undo)

    @staticmethod
    def _put_aside(switches: tuple[_Switch, ...], undo: _Undo) -> None:
        for switch in switches:
            before = switch.get()
            if before != switch.wanted:
                switch.put(switch.wanted)
                undo.append(lambda switch=switch, before=before: _put_back(switch, before))  # type: ignore[misc]


def _put_back(switch: _Switch, before: Any) -> None:
    if switch.get() == switch.wanted:  # otherwise somebody has set it anew since
        switch.put(before)


def _undo_all(undo: _Undo) -> None:
    while undo:
        undo.pop()()


_process = _Process()
