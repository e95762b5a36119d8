"""The synthetic cohort that ships, what replaces a missing folder, and example pictures."""
