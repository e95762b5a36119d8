"""The packings: one file is one packing and hands over ``PACKING``."""
