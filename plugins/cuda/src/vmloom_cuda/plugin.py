"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations
