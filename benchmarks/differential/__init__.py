"""Random programs, states and transactions, and what compares two engines on them. See `differential_engines.py`."""
