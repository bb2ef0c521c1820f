"""The methods, by namespace. Importing this package fills `table.METHODS`."""

from __future__ import annotations
