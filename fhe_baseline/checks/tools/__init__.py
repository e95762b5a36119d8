"""What several checks compute with."""
