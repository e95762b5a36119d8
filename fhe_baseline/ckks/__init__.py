"""CKKS on TenSEAL (Microsoft SEAL): context, packing and inference."""
