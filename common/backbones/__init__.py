"""DeiT feature extractors from timm, their weights and provenance."""
