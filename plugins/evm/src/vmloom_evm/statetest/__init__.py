"""Ethereum's public state tests: reading the files, running the cases."""

from __future__ import annotations
