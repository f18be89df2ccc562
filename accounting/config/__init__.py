"""The settings: every name, default, description and example, once.

They come from the environment (``ACCOUNTING_…``, with ``__`` for nesting) and from one YAML file;
the environment wins. They are read once, at the edge, and handed down as values. Whatever is wrong
with them becomes one ``SettingsError`` that names the environment variable.
"""

from accounting.config.loading import CONFIG, load
from accounting.config.model import Settings
from accounting.config.reference import settings
from accounting.config.secret import read_secret
from accounting.config.setting import PREFIX, Setting, shown

__all__ = ["CONFIG", "PREFIX", "Setting", "Settings", "load", "read_secret", "settings", "shown"]
