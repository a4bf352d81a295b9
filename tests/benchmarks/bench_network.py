"""One evaluation of a denoiser against the machine's matmul rate in the same minute, by seconds of the processor.

Wanted on 2 CPU cores in float32: zoom 6, 45 channels, 128 model channels >= 0.9 of the matmul rate; 32 model
channels >= 0.4; the bundled bottle <= 30 ms an instant in a batch of 8.

python -m tests.benchmarks.bench_network [REPEATS]
"""

from __future__ import annotations

import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.measure import matmul_rate, table, timed
from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.location import bundled
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm, unet


def evaluation(config: ModelConfig, batch: int):
    """One call of a denoiser with random weights and inputs."""
    net = unet.build(config).eval().requires_grad_(False)
    denoiser = edm.Denoiser(net)
    cells = healpix.n_cells(config.zoom)
    x = torch.randn(batch, config.out_channels, config.time_length, cells)
    inputs = {
        "condition": torch.randn(batch, config.condition_channels, config.time_length, cells),
        "labels": torch.zeros(batch, config.label_dim),
        "second_of_day": torch.zeros(batch, config.time_length),
        "day_of_year": torch.zeros(batch, config.time_length),
    }

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return denoiser(x, torch.full((batch,), 1.0), **inputs)

    return run


def main(repeats: int = 5) -> None:
    cases = {
        "zoom 6, 45 channels, 128 model channels": (ModelConfig(model_channels=128, out_channels=45), 1),
        "zoom 6, 45 channels, 32 model channels": (ModelConfig(model_channels=32, out_channels=45), 1),
    }
    if "gcm" in bundled():
        bottle = open_bottle("gcm")
        from xr_cbottle.bottle.checkpoint import read_part_specs

        with bottle.open_part(0) as file:
            cases["gcm, batch of 8"] = (read_part_specs(file)[0], 8)
    rows = []
    for name, (config, batch) in cases.items():
        run = evaluation(config, batch)
        with FlopCounterMode(display=False) as counter:
            run()
        rates = [matmul_rate()]
        timing = timed(run, repeats)
        rates.append(matmul_rate())
        flops, matmul = counter.get_total_flops(), max(rates)
        rows.append((
            name, f"{flops / 1e12:.3f}", f"{timing.least / batch:.3f}", f"{timing.median / batch:.3f}",
            f"{flops / timing.least / 1e9:.0f}", f"{min(rates) / 1e9:.0f}-{matmul / 1e9:.0f}",
            f"{flops / timing.least / matmul:.2f}",
        ))  # fmt: skip
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    heads = ("", "TFLOP", "cpu s/instant, least", "median", "GFLOP/cpu s", "matmul GFLOP/cpu s", "ratio")
    print(table(heads, rows))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
