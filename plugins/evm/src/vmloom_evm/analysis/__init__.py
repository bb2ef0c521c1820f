"""EVM code looked at without being run: what is in it, where its jumps go, and how it can be made shorter.

`instructions` reads it, `flow` follows its jumps with a stack of what is known, `report` tells what was found, and
`optimiser` applies the rules in `rules`. Nothing here knows an engine.
"""
