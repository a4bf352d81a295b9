"""``python -m xr_cbottle.cli``."""

import sys

from xr_cbottle.cli import main

sys.exit(main())
