"""A round as one page for the officer: in French, whole in itself, readable without colour, mouse or script."""

from services.matching.schemas.round_page.page import PageFacts, build_page

__all__ = ["PageFacts", "build_page"]
