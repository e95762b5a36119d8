"""The client's key: where it comes from, its file, and the streams drawn from it."""
