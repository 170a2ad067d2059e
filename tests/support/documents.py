"""What a PDF says, read back."""

import io

import pypdf


def pdf_text(content: bytes) -> str:
    """All its pages in one line, each blank a single space."""
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())
