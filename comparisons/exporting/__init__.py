"""A finished run in the forms that papers and other suites take."""
