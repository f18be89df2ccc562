"""A Dockerfile as its stages, each with the instructions that make it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction, with its flags (``--mount=…``) and the rest of its line."""

    name: str
    flags: tuple[str, ...]
    text: str

    def listed(self) -> list[str]:
        """What its exec form lists, such as ``["a", "b"]``."""
        found: list[str] = json.loads(self.text)
        return found


@dataclass(frozen=True)
class Stage:
    """One ``FROM`` and what follows it."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def only(self, name: str) -> Instruction:
        """The last instruction of a name, which is the one that counts."""
        return [i for i in self.instructions if i.name == name][-1]


@dataclass(frozen=True)
class Dockerfile:
    """All stages by name, and the defaults of the arguments before the first."""

    stages: dict[str, Stage]
    arguments: dict[str, str]

    def line(self, target: str) -> list[Stage]:
        """The stages that a target is built on, the first one first."""
        found = [self.stages[target]]
        while (base := self._filled(found[0].base)) in self.stages:
            found.insert(0, self.stages[base])
        return found

    def _filled(self, text: str) -> str:
        """With the arguments' defaults."""
        return re.sub(r"\$\{(\w+)\}", lambda found: self.arguments[found[1]], text)

    def instructions(self, target: str) -> list[Instruction]:
        """What makes a target, that of the stages below it first."""
        return [i for stage in self.line(target) for i in stage.instructions]


def read(path: Path) -> Dockerfile:
    """Read a Dockerfile; comments and continued lines as Docker takes them."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: dict[str, list[Instruction]] = {}
    bases: dict[str, str] = {}
    arguments: dict[str, str] = {}
    current = ""
    for line in filter(None, joined.splitlines()):
        name, _, rest = line.partition(" ")
        flags = []
        while found := re.match(r"(--\S+)\s+", rest):
            flags.append(found[1])
            rest = rest[found.end() :]
        if name == "FROM":
            base, current = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            bases[current], stages[current] = base, []
        elif not current:
            key, _, value = rest.partition("=")
            arguments[key] = value
        else:
            stages[current].append(Instruction(name, tuple(flags), rest))
    made = {name: Stage(name, bases[name], tuple(stages[name])) for name in stages}
    return Dockerfile(made, arguments)
