"""Transactions of types 0 to 4: codec, signatures, validation and application."""

from __future__ import annotations
