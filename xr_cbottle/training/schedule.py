"""Schedule: learning rate and memory of the average by the number of images seen."""

from __future__ import annotations

import math

from xr_cbottle.training.config import OptimConfig


def learning_rate(optim: OptimConfig, images: int) -> float:
    """Learning rate after so many images over its peak: linear warm-up, constant, cosine to 0."""
    decay = optim.total_images - optim.warmup_images if optim.decay_images is None else optim.decay_images
    warm = min(1.0, (images + optim.batch_size) / max(optim.warmup_images, 1))
    left = min(1.0, (optim.total_images - images) / max(decay, 1))
    return warm * 0.5 * (1 - math.cos(math.pi * max(left, 0.0)))


def ema_factor(optim: OptimConfig, images: int) -> float:
    """Share of itself that the moving average keeps at a step that reaches ``images``."""
    half_life = min(float(optim.ema_images), optim.ema_ramp * images)
    return 0.5 ** (optim.batch_size / max(half_life, 1e-9))
