"""Who may say and hear what on the broker, pure: the one home of a gate's rights."""

from collections.abc import Iterable

from gatectl.wire.messages import PREFIX

WRITES = ("ev", "hb", "ans", "media", "wl/req", "wl/state")
"""Leaves of its own that a gate publishes."""
READS = ("ack", "cmd", "wl/data")
"""Leaves of its own that a gate is told on."""
_HEAD = (
    "# Made by `gatectl mqtt acl` from central's database; changes made here are lost.",
    "# A gate's user name is its gate id: the name in its certificate. What is not granted is refused.",
    "",
)


def gate_rights(gate: str, site: str = "+", root: str = PREFIX) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a gate may (publish, subscribe to): its own topics, and its site's list and passages; "+" = any site's."""
    own = f"{root}/g/{gate}"
    publish = tuple(f"{own}/{leaf}" for leaf in WRITES)
    subscribe = tuple(f"{own}/{leaf}" for leaf in READS)
    lists = tuple(f"{root}/wl/{site}/{leaf}" for leaf in ("head", "delta", "snap"))
    return publish, (*subscribe, *lists, f"{root}/s/{site}/passages")


def acl_text(central: str, gates: Iterable[tuple[str, str]]) -> str:
    """mosquitto's `acl_file` for central's account and (gate, site) pairs, in the order of their names."""
    lines = [*_HEAD, f"user {central}", f"topic readwrite {PREFIX}/#", ""]
    for gate, site in sorted(gates):
        publish, subscribe = gate_rights(gate, site)
        lines.append(f"user {gate}")
        lines += [f"topic write {topic}" for topic in publish]
        lines += [f"topic read {topic}" for topic in subscribe]
        lines.append("")
    return "\n".join(lines)


def acl_changes(found: str, wanted: str) -> tuple[str, ...]:
    """What an ACL file grants otherwise than it should: `+ user: topic …` is missing, `- …` must go; order is free."""
    is_there, should_be = _grants(found), _grants(wanted)
    missing = [f"+ {grant}" for grant in sorted(should_be - is_there)]
    return (*missing, *(f"- {grant}" for grant in sorted(is_there - should_be)))


def _grants(text: str) -> set[str]:
    user, found = "(everybody)", set()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "user" and len(words) > 1:
            user = " ".join(words[1:])
            found.add(f"{user}: is known")
        else:
            found.add(f"{user}: {' '.join(words)}")
    return found
