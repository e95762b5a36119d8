"""What an audit attacks on this side: ciphers by name, and what pipelines protect images with."""
