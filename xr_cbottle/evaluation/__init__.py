"""A bottle, or a stored data set, held against another: figures, targets, pictures and a report.

`xr_cbottle.evaluation.report.evaluate` does all of it; ``xr-cbottle evaluate`` is its command line.
"""
