"""`python -m pydantic_ai_assay.cli` is `assay`."""

from __future__ import annotations

from .main import main

main()
