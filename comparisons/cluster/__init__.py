"""Cells of a run on several workers: processes of this machine or of a Dask cluster."""
