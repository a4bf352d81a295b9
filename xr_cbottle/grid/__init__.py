"""The sphere and time: HEALPix levels and orders, patches and tiles of faces, the time axis."""
