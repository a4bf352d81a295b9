"""Training super-resolution on overlapping patches, and distilling it to a few steps."""
