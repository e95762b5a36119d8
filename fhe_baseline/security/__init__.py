"""How many bits a set of lattice parameters is worth, by which cost model, and who enforces them."""
