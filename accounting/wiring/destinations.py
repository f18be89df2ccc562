"""The destinations by their names in the settings, and by how messages name them."""

from contextlib import suppress

from accounting.config import Settings
from accounting.errors import SettingsError
from accounting.model.messages import address
from accounting.wiring.places import FIRST, Place, outlet_of, places
from accounting.wiring.senders import sender_of


def addresses(settings: Settings) -> dict[str, str]:
    """How messages name the destinations, by their names in the settings, in their order.

    Raises:
        SettingsError: a name that cannot be part of the broker's addresses.
    """
    return {
        place.name: address(sender_of(settings, place).name, outlet_of(place).kind)
        for place in places(settings)
    }


def names_of(settings: Settings) -> dict[str, str]:
    """The destinations' names in the settings, by how messages name them.

    Empty where an address is wrong: every push tells of it.
    """
    with suppress(SettingsError):
        return {where: name for name, where in addresses(settings).items()}
    return {}


def address_of(settings: Settings, said: str = "") -> str:
    """How messages name a destination.

    Args:
        settings: the service's.
        said: its name in the settings, or an address, which may be of a destination that is not
            in the settings any more; empty: the first one.

    Raises:
        SettingsError: the settings have no destination of that name.
    """
    return said if "://" in said else addresses(settings)[place_of(settings, said).name]


def place_of(settings: Settings, said: str = "") -> Place:
    """A destination by its name in the settings or its address; empty: the first one.

    Raises:
        SettingsError: the settings have none like that.
    """
    known = {place.name: place for place in places(settings)}
    found = known.get(names_of(settings).get(said, said or FIRST))
    if found is None:
        raise SettingsError(
            f"the settings have no destination '{said}'", f"they have {', '.join(known)}"
        )
    return found
