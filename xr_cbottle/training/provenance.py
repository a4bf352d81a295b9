"""Facts of a run for the manifest of what it is packed into: what it saw, how long it took, how well it does."""

from __future__ import annotations

from typing import Any

from xr_cbottle.network.unet import Network
from xr_cbottle.training.loop import VALIDATION_IMAGES, Run, validate


def packed_network(run: Run) -> Network:
    """The network of a run whose weights are packed: the moving average, or the last one."""
    return run.net if run.case.packing.weights == "last" else run.average


def trained_on(run: Run) -> dict[str, Any]:
    """Facts of a run as plain JSON values: its data, network, optimizer and duration, and its validation loss."""
    optim, packing = run.config.training, run.case.packing
    return {
        **run.case.facts(),
        "images": run.images,
        "steps": run.images // optim.batch_size,
        "batch_size": optim.batch_size,
        "training_seconds": round(run.seconds),
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "optimizer": f"Muon {optim.matrix_lr:g}, AdamW {optim.lr:g}" if optim.matrix_lr else f"AdamW {optim.lr:g}",
        "seed": optim.seed,
        "weights": f"{packing.weights}, stored as {packing.dtype}",
        **_validated(run),
    }


def _validated(run: Run) -> dict[str, Any]:
    if not len(run.batches.validation):
        return {}
    batch = run.batches.validating(VALIDATION_IMAGES)
    found = validate(packed_network(run), batch, run.config.training, run.case.loss)
    return {"validation_loss": found["validation"], "validation_loss_by_sigma": found["validation_by_sigma"]}
