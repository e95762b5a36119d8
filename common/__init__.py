"""The shared ground: contracts, records, datasets, metrics, backbones, clock, store and service.

Imports nothing else of this project; every other package builds on it.
"""
