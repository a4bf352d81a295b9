"""A datatype and a reader of intake 2: ``CbottleFile("gcm").to_reader("xarray").read(zoom=3, seed=7)``.

intake 2 imports this itself, by an entry point. Catalogs of YAML, which intake 0.7 reads too: `xr_cbottle.catalog`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intake.readers import datatypes, readers

if TYPE_CHECKING:
    import xarray as xr


class CbottleFile(datatypes.FileData):
    """A bottle by its path, URL or name."""

    filepattern = "(cbottle$)"
    structure = {"array", "hierarchy"}  # noqa: RUF012  # as intake's own
    mimetypes = "application/vnd.cbottle"


class CbottleReader(readers.FileReader):
    """A bottle as a lazy `xarray.Dataset`; keywords are those of the engine, and ``chunks``."""

    imports = {"xarray", "xr_cbottle"}  # noqa: RUF012
    implements = {CbottleFile}  # noqa: RUF012
    output_instance = "xarray:Dataset"
    func = "xarray:open_dataset"
    url_arg = "filename_or_obj"
    storage_options = False

    def _read(self, data: CbottleFile, **keywords: Any) -> xr.Dataset:
        import xarray as xr

        return xr.open_dataset(data.url, engine="cbottle", **keywords)
