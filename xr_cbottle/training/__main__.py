"""``python -m xr_cbottle.training CONFIG.yaml --run FOLDER [--pack OUT.cbottle]``: for ``torchrun -m``."""

from __future__ import annotations

import sys

from xr_cbottle.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
