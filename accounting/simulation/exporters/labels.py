"""Label sets as the text formats write them."""

Labels = tuple[tuple[str, str], ...]
"""(name, value) pairs in the emitter's order; to Prometheus an empty value is an absent label."""


def escape(value: str) -> str:
    r"""A label value inside its quotes: backslash, quote and line feed become \\, \" and \n."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render(labels: Labels, *, keep_empty: bool = False) -> str:
    """`name="value",…` without braces; empty values are left out unless they are to be kept."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels if value or keep_empty)


def attach(labels: Labels, target: Labels, *, honor: bool) -> Labels:
    """What Prometheus stores: the exposed labels and the target's.

    With `honor` the exposed label wins; without, it moves to `exported_<name>`.
    """
    exposed = tuple(pair for pair in labels if pair[1])
    names = {name for name, _ in (labels if honor else exposed)}
    if honor:
        return exposed + tuple(pair for pair in target if pair[0] not in names)
    clashing = names & {name for name, _ in target}
    moved = tuple((f"exported_{n}" if n in clashing else n, value) for n, value in exposed)
    return moved + target
