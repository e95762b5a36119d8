"""What several attacks compute with."""
