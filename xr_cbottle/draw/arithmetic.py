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

from xr_cbottle.draw import forks

_AUTOCAST_DEVICES = ("cpu", "cuda")
_NUMPY_ERRORS: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@contextlib.contextmanager
def drawing(precision: str) -> Iterator[None]:
    """Run networks without gradients and without anything that the caller has set in torch or numpy.

    Parameters
    ----------
    precision
        One of `xr_cbottle.draw.defaults.PRECISIONS`: TF32 is used only for ``"tf32"``, and only on a GPU.
    """
    with _thread_settings(), _process.use(precision == "tf32"), torch.inference_mode():
        yield


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Make networks without anything that the caller has set in torch or numpy; takes none of its random numbers."""
    with _thread_settings(), _process.use(None), torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        yield


@contextlib.contextmanager
def _thread_settings() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for put_aside in (_compiler, _tracing, _function_modes, _transforms, _threads, _denormals):
            stack.enter_context(put_aside())
        stack.enter_context(_DisableDispatchModes())
        for device in _AUTOCAST_DEVICES:
            stack.enter_context(_no_autocast(device))
        stack.enter_context(np.errstate(**_NUMPY_ERRORS))
        yield


_DisableDispatchModes = torch._C._DisableTorchDispatch


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
    torch._C._set_tracing_state(None)
    try:
        yield
    finally:
        torch._C._set_tracing_state(before)


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
def _threads() -> Iterator[None]:
    """In a forked child one thread: torch would wait for ever for the threads that only the parent has."""
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


_BACKENDS = ("mkldnn", "cuda")
_OPERATIONS = ("conv", "matmul", "rnn")
#: Since torch 2.9; before there were three settings.
_HAS_PRECISIONS = hasattr(torch._C, "_set_fp32_precision_setter")


class _Float32:
    """How float32 is multiplied: a precision for each operation of each backend, of which some inherit from others."""

    @staticmethod
    def fits(tf32: bool) -> bool:
        """Whether all is as drawing wants it."""
        exact = {"ieee", "none"}
        if not all(_effective("mkldnn", operation) in exact for operation in _OPERATIONS):
            return False
        if not torch.cuda.is_available():
            return True
        wanted = {"tf32"} if tf32 else exact
        fit = all(_effective("cuda", operation) in wanted for operation in _OPERATIONS)
        return fit and _matmul_precision() == ("high" if tf32 else "highest")

    @staticmethod
    def put(tf32: bool) -> None:
        """Make it so."""
        # The older setting too, and first: it sets others, and torch refuses to multiply where the two disagree.
        torch._C._set_float32_matmul_precision("high" if tf32 else "highest")
        for operation in _OPERATIONS:
            torch._C._set_fp32_precision_setter("mkldnn", operation, "ieee")
            torch._C._set_fp32_precision_setter("cuda", operation, "tf32" if tf32 else "ieee")

    @staticmethod
    def put_aside(tf32: bool) -> Callable[[], None]:
        """As `put`; returns what undoes it."""
        before, matmul = _own_precisions(), _matmul_precision()
        _Float32.put(tf32)

        def undo() -> None:
            torch._C._set_float32_matmul_precision(matmul)
            for place, precision in before.items():
                torch._C._set_fp32_precision_setter(*place, precision)

        return undo


def _effective(backend: str, operation: str) -> str:
    return torch._C._get_fp32_precision_getter(backend, operation)


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # the one disagreement that torch refuses to read: "highest", and TF32 by the newer setting
        return "highest"


def _own_precisions() -> dict[tuple[str, str], str]:
    """What each place has of its own; ``"none"`` where it inherits. torch says only what holds."""
    own = {("generic", "all"): _effective("generic", "all")}
    for backend in _BACKENDS:
        own[backend, "all"] = _own(("generic", "all"), (backend, "all"), own)
        for operation in _OPERATIONS:
            own[backend, operation] = _own((backend, "all"), (backend, operation), own)
    return own


def _own(parent: tuple[str, str], place: tuple[str, str], own: dict[tuple[str, str], str]) -> str:
    found = []
    for tried in ("ieee", "tf32"):
        torch._C._set_fp32_precision_setter(*parent, tried)
        found.append(_effective(*place))
    torch._C._set_fp32_precision_setter(*parent, own[parent])
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
        self._undo: list[Callable[[], None]] = []
        self._undo_precision: list[Callable[[], None]] = []
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
        elif not _Float32.fits(tf32):
            if self._undo_precision:  # set anew by somebody while others draw
                _Float32.put(tf32)
            else:
                self._undo_precision.append(_Float32.put_aside(tf32))

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
    def _put_aside(switches: tuple[_Switch, ...], undo: list[Callable[[], None]]) -> None:
        for switch in switches:
            before = switch.get()
            if before != switch.wanted:
                switch.put(switch.wanted)
                undo.append(lambda switch=switch, before=before: _put_back(switch, before))  # type: ignore[misc]


def _put_back(switch: _Switch, before: Any) -> None:
    if switch.get() == switch.wanted:  # otherwise somebody has set it anew since
        switch.put(before)


def _undo_all(undo: list[Callable[[], None]]) -> None:
    while undo:
        undo.pop()()


_process = _Process()
