"""What homomorphic pipelines send, as schemes that attacks on images are run on."""
