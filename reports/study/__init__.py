"""The report of a study: what holds on all its data sets, and what does not."""
