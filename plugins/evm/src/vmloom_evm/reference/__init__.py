"""The reference engine: op functions run by CPython, over Python objects."""

from __future__ import annotations
