"""The story as a JSON-ready value. Bytes are hex text; amounts are integers in wei or units of the token."""

from __future__ import annotations

from typing import Any

from .story import Step, Story


def to_dict(story: Story) -> dict[str, Any]:
    """Everything that happened, state changes and traces in full. Times are left out: two runs give the same text."""
    return {
        "revision": story.revision,
        "compiler": story.compiler,
        "token": _hex(story.token),
        "names": {_hex(address): name for address, name in story.names.items()},
        "transactions": [_step(step) for step in story.steps],
        "balances": {person: {"token": units, "wei": wei} for person, (units, wei) in story.balances.items()},
    }


def _step(step: Step) -> dict[str, Any]:
    result = step.result
    return {
        "number": step.number,
        "sender": step.sender,
        "call": step.call,
        "hash": _hex(step.hash),
        "raw": _hex(step.raw),
        "status": int(result.success),
        "state": result.state.value,
        "reason": step.reason,
        "gas_used": result.gas_used,
        "gas_refunded": result.gas_refunded,
        "gas_price": result.gas_price,
        "return_data": _hex(result.return_data),
        "events": [
            {
                "name": event.name,
                "values": {name: _hex(one) if isinstance(one, bytes) else one for name, one in event.values.items()},
            }
            for event in step.events
        ],
        "state_changes": [change.to_dict() for change in result.state_changes],
        **({"trace": list(step.trace)} if step.trace else {}),
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
