"""Records to one document to Markdown and PDF."""

from reports.build import build_document, write_report

__all__ = ["build_document", "write_report"]
