"""What a metric is, its interval by resampling, and paired differences."""
