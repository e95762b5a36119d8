"""Records to one document to Markdown and PDF."""
