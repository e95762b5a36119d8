"""Side-by-side measurements against peers; each module is ``python -m benchmarks.NAME``."""
