"""A data set as Zarr: addresses, documents and chunks; and over HTTP with a page to look at it."""
