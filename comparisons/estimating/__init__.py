"""What a run will take, before it starts: a probe, prices, and the sum over cells."""
