"""The packings: one file is one packing and provides ``PACKING``."""
