"""Which cells a changed setting runs again, and how a folder with another plan is refused."""

from __future__ import annotations
