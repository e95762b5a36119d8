"""Side-by-side measurements against peers, one module each; `make bench` runs them all."""
