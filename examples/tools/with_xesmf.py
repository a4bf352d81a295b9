# /// script
# dependencies = ["xesmf"]
# ///
"""xesmf: regridding by ESMF."""

import xesmf

print(f"xesmf {xesmf.__version__}")
