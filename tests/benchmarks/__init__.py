"""Measurements, run by hand: ``python -m tests.benchmarks.bench_open`` and so on. Nothing is asserted."""
