"""The `compare` command: plan, runner, scoring and statistics."""
