"""What the hub's database says of users' homes. It is only read."""

import json
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from hub.migration.homes import User
from hub.program.failure import WrongSetting

_USERS = """
SELECT users.id, users.name, spawners.state
FROM users LEFT JOIN spawners ON spawners.user_id = users.id
ORDER BY users.id, spawners.name
"""
_CURE = "give --hub-db as JupyterHub has it in `db_url`, as sqlite:///jupyterhub.sqlite"


def users_of(url: str) -> Mapping[str, User]:
    """The users by name, with the claims that their servers have mounted.

    Raises:
        WrongSetting: there is no hub's database at this address.
    """
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite" and not Path(address.database or "").is_file():
            raise WrongSetting("the hub's database is not there", _CURE)  # it would be made
        engine = create_engine(address)
        with engine.connect() as connection:
            rows = connection.execute(text(_USERS)).all()
        engine.dispose()
    except (SQLAlchemyError, ImportError) as exc:  # its text may hold the password
        raise WrongSetting(
            f"the hub's database cannot be read: {type(exc).__name__}", _CURE
        ) from None
    found: dict[str, User] = {}
    for number, name, state in rows:
        known = found.get(name, User(number))
        claim = (json.loads(state or "null") or {}).get("pvc_name")
        if claim and claim not in known.remembered:
            known = User(number, (*known.remembered, claim))
        found[name] = known
    return found
