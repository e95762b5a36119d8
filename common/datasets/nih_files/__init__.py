"""NIH ChestX-ray14 as it is handed out and passed on: tables, lists and images by their names."""
