"""Records to one document to Markdown and PDF."""

from reports.build import build_document, write_report
from reports.render import FORMATS

__all__ = ["FORMATS", "build_document", "write_report"]
