"""From attacks and targets to outcomes: the harness, its controls, verdicts and the matrix."""
