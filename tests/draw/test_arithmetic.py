"""Values do not depend on what the reading program has set in torch or numpy, and its settings stay as they were."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.bottles import fine_specs, synthetic_bottle
from xr_cbottle import open_bottle
from xr_cbottle.draw import arithmetic, models, resolver
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.fine import make_fine
from xr_cbottle.draw.own_work import Translation
from xr_cbottle.draw.translation import translate

TIMES = np.array(["1980-02-01T06", "1980-08-01T18"], "datetime64[s]")
Draw = Callable[[], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """Draws an instant, a tile and a translation, of networks that are loaded anew."""
    path = synthetic_bottle(
        tmp_path_factory.mktemp("bottles") / "small.cbottle", sigma_mins=(10.0, 0.0), superres=fine_specs(4, overlap=8)
    )
    bottle = open_bottle(path)
    fine = make_fine(bottle.manifest, 4, "tiles", "full")
    assert fine is not None
    channels = [bottle.manifest.channels.index(name) for name in fine.channels]

    def drawn() -> dict[str, np.ndarray]:
        models.store(torch.device("cpu")).clear()
        emulator = Emulator(bottle, device="cpu", batch_size=2)
        instants = emulator.draw(TIMES).values
        tiles = resolver.get(bottle, fine.part, fine.spec, 2, tiling=fine.tiling, device="cpu")
        tile = tiles.draw_tile(instants[0, channels], 3, seed=0, member=0, time=TIMES[0])
        return {
            "instants": instants,
            "tile": tile,
            "translated": translate(emulator, instants[:1], TIMES[:1], Translation("a", "b"))[0],
        }

    return drawn


@pytest.fixture(scope="module")
def quiet(draw: Draw) -> dict[str, np.ndarray]:
    return draw()


class Counting(TorchFunctionMode):
    """Spoils what is computed under it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        return out + 1 if isinstance(out, torch.Tensor) and out.is_floating_point() else out


class Spoiling(TorchDispatchMode):
    """Spoils what is computed under it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        return out + 1 if isinstance(out, torch.Tensor) and out.is_floating_point() else out


@contextlib.contextmanager
def put(setter: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(before)


def attribute(owner: object, name: str, value: Any) -> Iterator[None]:
    return put(lambda v: setattr(owner, name, v), value, getattr(owner, name))


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Undo what changes precisions of float32: torch's own ways leave others changed."""
    own = {place: arithmetic._own_precision(*place) for place in PLACES}
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        for place, precision in own.items():
            torch._C._set_fp32_precision_setter(*place, precision)


def precision_of(backend: str, operation: str, value: str) -> Iterator[None]:
    return put(lambda v: v and torch._C._set_fp32_precision_setter(backend, operation, v), value, None)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


#: All but those of cuDNN, whose default is one of its own that nobody can put back.
PLACES = [("generic", "all"), ("mkldnn", "all"), ("cuda", "all")]
PLACES += [("mkldnn", "conv"), ("mkldnn", "rnn"), ("mkldnn", "matmul"), ("cuda", "matmul")]
B, C = torch.backends, torch.backends.cuda
SETTINGS: dict[str, Callable[[], Any]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "set_autocast_enabled": lambda: put(lambda v: torch.set_autocast_enabled("cpu", v), True, False),
    "set_autocast_cpu_enabled": lambda: put(torch.set_autocast_cpu_enabled, True, False),
    "set_autocast_cache_enabled": lambda: put(torch.set_autocast_cache_enabled, False, True),
    "set_default_dtype float64": lambda: put(torch.set_default_dtype, torch.float64, torch.float32),
    "set_default_dtype bfloat16": lambda: put(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "set_default_device": lambda: put(torch.set_default_device, "meta", None),
    "torch.device": lambda: torch.device("meta"),
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "enable_grad": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "anomaly": lambda: torch.autograd.detect_anomaly(check_nan=True),
    "set_anomaly_enabled": lambda: put(torch.set_anomaly_enabled, True, False),
    "dual_level": torch.autograd.forward_ad.dual_level,
    "saved_tensors_hooks": lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x + 1, lambda x: x),
    "function mode": Counting,
    "disabled functions": torch._C.DisableTorchFunction,
    "dispatch mode": Spoiling,
    "fake tensors": torch._subclasses.FakeTensorMode,
    "set_float32_matmul_precision high": lambda: put(torch.set_float32_matmul_precision, "high", "highest"),
    "set_float32_matmul_precision": lambda: put(torch.set_float32_matmul_precision, "medium", "highest"),
    "backends.fp32_precision": lambda: precision_of("generic", "all", "tf32"),
    "use_deterministic_algorithms": deterministic,
    "set_deterministic_debug_mode": lambda: put(torch.set_deterministic_debug_mode, "error", "default"),
    "fill_uninitialized_memory": lambda: attribute(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "set_flush_denormal": lambda: put(torch.set_flush_denormal, True, False),
    "set_warn_always": lambda: put(torch.set_warn_always, True, False),
    "cudnn.enabled": lambda: attribute(B.cudnn, "enabled", False),
    "cudnn.benchmark": lambda: attribute(B.cudnn, "benchmark", True),
    "cudnn.deterministic": lambda: attribute(B.cudnn, "deterministic", True),
    "cudnn.depthwise_kernel": lambda: attribute(B.cudnn, "depthwise_kernel", "cudnn"),
    "cudnn.allow_tf32": lambda: attribute(B.cudnn, "allow_tf32", False),
    "mkldnn.enabled": lambda: attribute(B.mkldnn, "enabled", False),
    "mkldnn.deterministic": lambda: attribute(B.mkldnn, "deterministic", True),
    "mkldnn.allow_tf32": lambda: put(torch._C._set_onednn_allow_tf32, True, False),
    "nnpack.set_flags": lambda: B.nnpack.flags(enabled=False),
    "cuda.matmul.allow_tf32": lambda: attribute(C.matmul, "allow_tf32", True),
    "cuda.matmul.fp16": lambda: attribute(C.matmul, "allow_fp16_reduced_precision_reduction", False),
    "cuda.matmul.bf16": lambda: attribute(C.matmul, "allow_bf16_reduced_precision_reduction", False),
    "cuda.matmul.accumulation": lambda: attribute(C.matmul, "allow_fp16_accumulation", True),
    "cuda.enable_flash_sdp": lambda: put(C.enable_flash_sdp, False, True),
    "cuda.enable_math_sdp": lambda: put(C.enable_math_sdp, False, True),
    "cuda.enable_mem_efficient_sdp": lambda: put(C.enable_mem_efficient_sdp, False, True),
    "cuda.enable_cudnn_sdp": lambda: put(C.enable_cudnn_sdp, False, True),
    "cuda.allow_fp16_bf16_reduction_math_sdp": lambda: put(C.allow_fp16_bf16_reduction_math_sdp, True, False),
    "sdpa_kernel": lambda: torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    "mha.set_fastpath_enabled": lambda: put(B.mha.set_fastpath_enabled, False, True),
    "swap_module_params": lambda: put(torch.__future__.set_swap_module_params_on_conversion, True, False),
    "overwrite_module_params": lambda: put(torch.__future__.set_overwrite_module_params_on_conversion, True, False),
    "numpy errors": lambda: np.errstate(all="raise"),
    "profiler": torch.profiler.profile,
}
for place in PLACES:
    SETTINGS[f"fp32_precision of {' '.join(place)}"] = lambda place=place: precision_of(*place, "tf32")
SETTINGS["fp32_precision mkldnn bf16"] = lambda: precision_of("mkldnn", "conv", "bf16")


def state() -> dict[str, Any]:
    """All that drawing might leave changed."""
    tiny = np.array([1e-40], np.float32)
    return {
        "switches": [switch.get() for switch in arithmetic._SWITCHES],
        "precisions": [torch._C._get_fp32_precision_getter(*place) for place in [*PLACES, ("cuda", "conv")]],
        "own": [arithmetic._own_precision(*place) for place in PLACES], "matmul": arithmetic._matmul_precision(),
        "dtype": torch.get_default_dtype(), "device": str(torch.get_default_device()),
        "autocast": torch.is_autocast_enabled("cpu"), "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(), "threads": torch.get_num_threads(),
        "modes": torch._C._len_torch_function_stack(), "dispatch": torch._C._len_torch_dispatch_stack(),
        "numpy": np.geterr(), "denormals": bool((tiny * np.float32(1))[0] != 0),
        "random": torch.random.get_rng_state().numpy().tobytes(),
    }  # fmt: skip


#: What cannot reach a value that is drawn on a CPU or a CUDA device, or is meant to.
HARMLESS = {
    "set_num_threads": "the last bits depend on it, as on the device: see test_threads_are_a_matter_of_the_last_bits",
    "set_num_interop_threads": "no operation is split so", "set_printoptions": "text",
    "set_rng_state": "no random number is drawn by torch",
    "set_default_tensor_type": "the default dtype and device by another name", "set_autocast_dtype": "needs autocast",
    "set_autocast_cpu_dtype": "needs autocast", "set_autocast_gpu_dtype": "needs autocast",
    "set_autocast_ipu_enabled": "another device", "set_autocast_ipu_dtype": "another device",
    "set_autocast_xla_enabled": "another device", "set_autocast_xla_dtype": "another device",
    "miopen.immediate": "another device", "python_native.available_dsls": "no switch",
    "python_native.all_dsls": "no switch", "python_native.enable_dispatch_keys": "kernels of a GPU that one registers",
    "python_native.enable_operations": "kernels of a GPU that one registers",
    "cudnn.rnn.fp32_precision": "no recurrent network",
    "cuda.preferred_linalg_library": "no linear algebra", "cuda.preferred_rocm_fa_library": "another device",
    "cuda.preferred_blas_library": "a choice for the machine, not put aside", "cudnn.fp32_precision": "cuda all",
    "mkldnn.fp32_precision": "mkldnn all",
}  # fmt: skip


def switches() -> Iterator[str]:
    """Names of all that torch lets a program set, as far as names and properties tell."""
    yield from (name for name in dir(torch) if name.startswith(("set_", "use_", "enable_")))
    for found in pkgutil.iter_modules(B.__path__):
        module = importlib.import_module(f"torch.backends.{found.name}")
        for cls in type(module).__mro__:
            kinds = {name: type(value).__name__ for name, value in vars(cls).items() if name[0] != "_"}
            yield from (f"{found.name}.{name}" for name, kind in kinds.items() if kind in ("ContextProp", "property"))
        functions = ("set_", "enable_", "preferred_", "allow_")
        yield from (
            f"{found.name}.{name}"
            for name in dir(module)
            if name.startswith(functions) and callable(getattr(module, name))
        )


def test_every_switch_that_torch_has_is_tried() -> None:
    untried = {name for name in switches() if name not in HARMLESS and not any(name in tried for tried in SETTINGS)}
    assert not untried


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Modes that would spoil what is asked about the settings."""
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch(), np.errstate(all="ignore"):
        yield


def check(drawn: dict[str, np.ndarray], quiet: dict[str, np.ndarray]) -> None:
    for what, values in quiet.items():
        np.testing.assert_array_equal(drawn[what], values, err_msg=what)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_reaches_the_values(draw: Draw, quiet: dict[str, np.ndarray], name: str) -> None:
    outside = state()
    with kept(), SETTINGS[name]():
        with aside():
            before = state()
        drawn = draw()
        with aside():
            after = state()
    assert before == after
    assert outside == state()
    check(drawn, quiet)


def under_vmap(draw: Draw) -> None:
    torch.vmap(lambda x: (draw(), x)[1])(torch.zeros(2))


def under_grad(draw: Draw) -> None:
    torch.func.grad(lambda x: (draw(), x * x)[1])(torch.ones(()))


def under_trace(draw: Draw) -> None:
    torch.jit.trace(lambda x: (draw(), x * x)[1], torch.ones(2), check_trace=False)


def under_compile(draw: Draw) -> None:
    torch.compile(lambda x: (draw(), x * x)[1], backend="eager")(torch.ones(2))


PRECISIONS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "all": lambda: torch._C._set_fp32_precision_setter("generic", "all", "tf32"),
    "all of a GPU": lambda: torch._C._set_fp32_precision_setter("cuda", "all", "tf32"),
    "products": lambda: torch.set_float32_matmul_precision("medium"),
    "products on a GPU": lambda: torch._C._set_fp32_precision_setter("cuda", "matmul", "tf32"),
    "convolutions": lambda: torch._C._set_fp32_precision_setter("mkldnn", "conv", "bf16"),
}


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("name", PRECISIONS)
def test_precisions_of_a_gpu_are_put_aside_and_back(name: str, tf32: bool) -> None:
    with kept():
        PRECISIONS[name]()
        before = state()
        undo = arithmetic._Float32.put_aside(tf32)
        assert arithmetic._Float32.fits(tf32, gpu=True)
        assert not arithmetic._Float32.fits(not tf32, gpu=True)
        arithmetic._undo_all(undo)
        assert state() == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("around", [under_vmap, under_grad, under_trace, under_compile])
def test_no_transform_reaches_the_values(draw: Draw, quiet: dict[str, np.ndarray], around: Callable) -> None:
    drawn: list[dict[str, np.ndarray]] = []
    around(lambda: drawn.append(draw()))
    check(drawn[0], quiet)


@pytest.mark.long
def test_threads_are_a_matter_of_the_last_bits(draw: Draw, quiet: dict[str, np.ndarray]) -> None:
    before = torch.get_num_threads()
    with put(torch.set_num_threads, before + 1, before):
        drawn = draw()
        assert torch.get_num_threads() == before + 1
    for what, values in quiet.items():
        scale = values.std(axis=-1, keepdims=True)
        assert (np.abs(drawn[what] - values) / scale).max() < 1e-4


def test_draws_at_the_same_time_put_all_back(draw: Draw) -> None:
    """One enters while another is inside; the first to leave takes nothing from the other."""
    entered, leave, seen = threading.Event(), threading.Event(), []

    def long() -> None:
        with arithmetic.drawing("float32"):
            entered.set()
            leave.wait(60)
            seen.append(torch.backends.mkldnn.enabled)

    with attribute(B.mkldnn, "enabled", False), kept():
        torch.set_float32_matmul_precision("medium")
        before = state()
        thread = threading.Thread(target=long)
        thread.start()
        assert entered.wait(60)
        with arithmetic.drawing("bfloat16"):
            assert B.mkldnn.enabled
        assert B.mkldnn.enabled
        leave.set()
        thread.join()
        assert seen == [True]
        assert state() == before


def test_what_is_set_anew_during_a_draw_stays() -> None:
    with attribute(B.mkldnn, "deterministic", True):
        with arithmetic.drawing("float32"):
            assert not B.mkldnn.deterministic
            torch.use_deterministic_algorithms(True)
        assert B.mkldnn.deterministic
        assert torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)


def test_draws_with_tf32_and_without_wait_for_each_other() -> None:
    order: list[str] = []

    def other() -> None:
        with arithmetic.drawing("tf32"):
            order.append("tf32")

    with arithmetic.drawing("float32"):
        thread = threading.Thread(target=other)
        thread.start()
        with arithmetic.loading():
            order.append("loading")
        thread.join(0.3)
        order.append("float32")
    thread.join(60)
    assert order == ["loading", "float32", "tf32"]


@pytest.mark.filterwarnings("ignore:the data of .* are strange")
def test_loading_takes_no_random_numbers_of_the_program(draw: Draw) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    draw()
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
