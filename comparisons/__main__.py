"""`python -m comparisons` is the `compare` command, for where another program has that name."""

from he_compare.comparisons.cli.entry import main

main()
