"""Studies: data sets, pipelines and seeds of one file, as one folder of ordinary runs."""
