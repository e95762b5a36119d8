"""Records to one document to Markdown and PDF."""

from he_compare.reports.build import build_document, write_report
from he_compare.reports.render import FORMATS

__all__ = ["FORMATS", "build_document", "write_report"]
