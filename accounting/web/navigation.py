"""The way around: only what the viewer may see."""

from dataclasses import dataclass

from accounting.store.engine.access import Right, Role, Viewer


@dataclass(frozen=True, slots=True)
class Entry:
    """A link; ``path`` is below the service's own."""

    path: str
    title: str
    is_current: bool


_PAGES = (
    ("", "Overview", {Role.ADMIN, Role.MANAGER}),
    ("usage", "Usage", {Role.ADMIN, Role.MANAGER}),
    ("records", "Records", {Role.ADMIN, Role.MANAGER}),
    ("deliveries", "Deliveries", {Role.ADMIN}),
)


def entries(viewer: Viewer | None, path: str) -> list[Entry]:
    """The links of a viewer's pages.

    Args:
        viewer: who looks; nobody gets nothing.
        path: of the page that is shown, below the service's own.
    """
    if viewer is None or not viewer.may(Right.READ):
        return []
    found = [(name, title) for name, title, roles in _PAGES if viewer.role in roles]
    if viewer.user:
        found.append(("my", "My usage"))
        if viewer.role is Role.SELF:
            found.append(("records", "My notebooks"))
    first = path.strip("/").partition("/")[0]
    return [Entry(name, title, name == first) for name, title in found]
