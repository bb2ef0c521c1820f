"""Watching a run: tracers and the formats they write."""

from __future__ import annotations
