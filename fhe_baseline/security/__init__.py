"""What lattice parameters are worth in bits, by which cost model, and who enforces them."""
