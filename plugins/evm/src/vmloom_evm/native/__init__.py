"""The native engine: the op functions compiled, over arenas and tables that are kernel functions themselves.

`layout` says what lies where in memory; `table`, `journal`, `arena` and `machine` are kernel functions over it;
`driver` makes an interpreter of the op table; `state` and `engine` are the Python side.
"""
