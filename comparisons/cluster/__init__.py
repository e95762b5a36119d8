"""Cells of a run on a cluster of Dask: who may be asked, and what is sent."""
