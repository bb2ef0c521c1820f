"""Durable state on LMDB: a `vmloom.store.Store` in one memory-mapped file."""
