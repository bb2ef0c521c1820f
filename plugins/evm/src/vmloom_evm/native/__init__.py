"""The native engine: the op functions compiled, over arenas and tables that are kernel functions themselves.

`layout` says what lies where in memory; `table`, `journal`, `arena`, `hashing`, `accounts`, `outcome` and `machine` are
kernel functions over it, `run` and `access` those that Python calls; `driver` makes an interpreter of the op table.
`memory` and `state` are the state as Python sees it; `packing`, `session` and `reading` lead a run there and back, with
`guests` and `watching` for what it meets on its way; `engine` offers it all as an `Engine`.
"""
