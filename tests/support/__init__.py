"""What tests share: contexts, stores, image folders, stand-ins and sample runs."""
