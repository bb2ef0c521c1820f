"""The node: a chain of blocks over vmloom's machines, and the JSON-RPC that serves it."""
