"""Benchmarks: `python -m benchmarks.NAME [--quick] [--profile P] [--data PATH]`; results in `benchmarks/results/`."""
