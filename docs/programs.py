# noqa: INP001 - a script's part
"""The tables of settings in docs/monitoring.md and docs/backup.md, from the programs' models."""

from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from hub.backup.settings import BackupSettings
from hub.monitor.settings import MonitorSettings
from hub.program.settings import ProgramSettings, shown
from notebooks_settings.values import Duration

FOLDER = Path(__file__).parent
MARK = "<!-- From here on written by docs/generate.py: edit the fields in {source}. -->\n"
MODELS: dict[str, type[ProgramSettings]] = {
    "monitoring.md": MonitorSettings,
    "backup.md": BackupSettings,
}


def pages() -> dict[Path, str]:
    """Both pages: their own text up to the mark, then every setting."""
    return {FOLDER / name: _page(FOLDER / name, model) for name, model in MODELS.items()}


def _page(path: Path, model: type[ProgramSettings]) -> str:
    mark = MARK.format(source=f"{model.__module__.replace('.', '/')}.py")
    text = path.read_text(encoding="utf-8").partition(mark)[0]
    return text + mark + "\n" + "\n".join(_table(model)) + "\n"


def _table(model: type[ProgramSettings]) -> Iterator[str]:
    yield "| variable | default | | for example |"
    yield "|---|---|---|---|"
    for name, about in model.model_fields.items():
        variable = f"{model.model_config['env_prefix']}{name.upper()}"
        cells = [variable, _default(about), "", shown((about.examples or [""])[0])]
        text = [f"`{cell}`" if cell else "" for cell in cells]
        text[2] = about.description or ""
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in text) + " |"


def _default(about: FieldInfo) -> str:
    is_duration = set(getattr(Duration, "__metadata__", ())) <= set(about.metadata)
    if is_duration and isinstance(about.default, float):
        return duration(about.default)
    return shown(about.default) if about.default else ""


def duration(seconds: float) -> str:
    """A span of time as settings take it."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0 and seconds != length:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
