"""`python -m comparisons` is the `compare` command, where another program has that name."""

from comparisons.cli import main

main()
