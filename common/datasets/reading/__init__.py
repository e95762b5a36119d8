"""Foreign bytes: images, tables, archives, DICOM, folders and downloads, read as hostile."""
