"""Clients within the process: what Python's Ethereum libraries speak to, without a socket.

Neither library is needed by the node: install `vmloom-node[eth-tester]` or `vmloom-node[web3]` for the module of that
name here.
"""

from __future__ import annotations
