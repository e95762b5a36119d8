"""The synthetic cohort that ships, and what stands in for a folder that is missing."""
