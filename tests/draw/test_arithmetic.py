"""Values do not depend on what the reading program has set in torch or numpy, and its settings stay as they were."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.bottles import fine_specs, synthetic_bottle
from xr_cbottle import open_bottle
from xr_cbottle.cube.fine import make_fine
from xr_cbottle.draw import arithmetic, models, resolver
from xr_cbottle.draw.emulator import Emulator
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
        return {"instants": instants, "tile": tile, "translated": translate(emulator, instants[:1], TIMES[:1], "a", "b")}

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


def precision_of(backend: str, operation: str, value: str) -> Iterator[None]:
    """A precision of float32, put back as it was on its own and not as it inherits."""
    own = arithmetic._own_precisions()[backend, operation]
    return put(lambda v: torch._C._set_fp32_precision_setter(backend, operation, v), value, own)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


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
    "mkldnn.allow_tf32": lambda: attribute(B.mkldnn, "allow_tf32", True),
    "nnpack": lambda: B.nnpack.flags(enabled=False),
    "cuda.matmul.allow_tf32": lambda: attribute(C.matmul, "allow_tf32", True),
    "cuda.matmul.fp16": lambda: attribute(C.matmul, "allow_fp16_reduced_precision_reduction", False),
    "cuda.matmul.bf16": lambda: attribute(C.matmul, "allow_bf16_reduced_precision_reduction", False),
    "cuda.matmul.accumulation": lambda: attribute(C.matmul, "allow_fp16_accumulation", True),
    "enable_flash_sdp": lambda: put(C.enable_flash_sdp, False, True),
    "enable_math_sdp": lambda: put(C.enable_math_sdp, False, True),
    "enable_mem_efficient_sdp": lambda: put(C.enable_mem_efficient_sdp, False, True),
    "enable_cudnn_sdp": lambda: put(C.enable_cudnn_sdp, False, True),
    "allow_fp16_bf16_reduction_math_sdp": lambda: put(C.allow_fp16_bf16_reduction_math_sdp, True, False),
    "sdpa_kernel": lambda: torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    "set_fastpath_enabled": lambda: put(B.mha.set_fastpath_enabled, False, True),
    "swap_module_params": lambda: put(torch.__future__.set_swap_module_params_on_conversion, True, False),
    "overwrite_module_params": lambda: put(torch.__future__.set_overwrite_module_params_on_conversion, True, False),
    "numpy errors": lambda: np.errstate(all="raise"),
    "profiler": torch.profiler.profile,
}
for backend in ("cuda", "mkldnn"):
    for operation in ("all", "conv", "matmul", "rnn"):
        SETTINGS[f"fp32_precision {backend} {operation}"] = lambda where=(backend, operation): precision_of(*where, "tf32")
SETTINGS["fp32_precision mkldnn bf16"] = lambda: precision_of("mkldnn", "conv", "bf16")


def state() -> dict[str, Any]:
    """All that drawing might leave changed."""
    tiny = np.array([1e-40], np.float32)
    return {
        "switches": [switch.get() for switch in arithmetic._SWITCHES],
        "precisions": arithmetic._own_precisions(), "matmul": arithmetic._matmul_precision(),
        "dtype": torch.get_default_dtype(), "device": str(torch.get_default_device()),
        "autocast": torch.is_autocast_enabled("cpu"), "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(), "threads": torch.get_num_threads(),
        "modes": torch._C._len_torch_function_stack(), "dispatch": torch._C._len_torch_dispatch_stack(),
        "numpy": np.geterr(), "denormals": bool((tiny * np.float32(1))[0] != 0),
        "random": torch.random.get_rng_state().numpy().tobytes(),
    }  # fmt: skip


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
    with SETTINGS[name]():
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("around", [under_vmap, under_grad, under_trace, under_compile])
def test_no_transform_reaches_the_values(draw: Draw, quiet: dict[str, np.ndarray], around: Callable) -> None:
    drawn: list[dict[str, np.ndarray]] = []
    around(lambda: drawn.append(draw()))
    check(drawn[0], quiet)
