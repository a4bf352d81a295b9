"""Bottles over HTTP, as Zarr that is drawn when it is read, and a page to look at it; needs the extra ``serve``.

`app` answers requests, of which `shelf` knows the data sets; `admission` and the `lane` of each bottle, with its queue
into the cache, say who may draw and who waits; `connections` counts clients; `answer`, `envelope` and `text` are the
forms of HTTP; `host` runs it all.
"""
