"""What a metric is, and what stands beside its value: intervals, resampling, paired differences."""
