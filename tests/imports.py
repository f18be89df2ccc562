"""A contract for import-linter: the domain's imports are an allowlist."""

import sys
from typing import Any, ClassVar

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowlistContract(Contract):
    """Some modules import each other and the standard library, and nothing else.

    Configuration options:
        - modules: module expressions, such as ``accounting.model.**``.
        - exceptions: ``importer -> imported``: what else one of them may import. Each must exist.
    """

    type_name: ClassVar[str] = "allowlist"
    modules = fields.SetField(subfield=fields.ModuleExpressionField())
    exceptions = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the direct imports that are not allowed, and exceptions that nobody needs."""
        del verbose
        expressions: Any = self.modules
        exceptions: Any = self.exceptions
        within = {m for expression in expressions for m in _matching(graph, str(expression))}
        allowed: set[str] = set(exceptions)
        found = {
            f"{importer} -> {imported}"
            for importer in within
            for imported in graph.find_modules_directly_imported_by(importer)
            if imported not in within and imported.split(".")[0] not in sys.stdlib_module_names
        }
        wrong, unused = sorted(found - allowed), sorted(allowed - found)
        return ContractCheck(
            kept=not (wrong or unused), metadata={"wrong": wrong, "unused": unused}
        )

    def render_broken_contract(self, check: Any) -> None:
        """Say which import is not allowed, and which exception nobody needs."""
        for line in check.metadata["wrong"]:
            output.print_error(f"{line}: not allowed in the domain", bold=False)
        for line in check.metadata["unused"]:
            output.print_error(f"{line}: an exception that nobody needs any more", bold=False)


def _matching(graph: ImportGraph, expression: str) -> set[str]:
    found: set[str] = set(graph.find_matching_modules(expression))
    return found or ({expression} & graph.modules)
