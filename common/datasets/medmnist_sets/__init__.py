"""The 2-D sets of MedMNIST v2: what is known of them, and their npz files."""
