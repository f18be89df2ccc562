"""Charts as files, for the pages that show them."""

from starlette.responses import Response

from accounting.api.tables import csv_file
from accounting.guard.problem import Problem
from accounting.web.views.daily import Chart

_NOT_FOUND = 404


def chart_file(drawn: Chart | None, kind: str, name: str, about: str) -> Response:
    """A chart as SVG, or its values as CSV.

    Args:
        drawn: the chart; None: there is nothing to draw.
        kind: the file's ending.
        name: the file's, without its ending.
        about: of which time it is, and whose, for the picture's title.

    Raises:
        Problem: there is no such file.
    """
    if drawn is None or kind not in {"csv", "svg"}:
        raise Problem(
            _NOT_FOUND, "there is no such file, or nothing to draw", "see the page of the chart"
        )
    return csv_file(drawn.csv(), name) if kind == "csv" else svg_file(drawn.file(about), name)


def svg_file(text: str, name: str) -> Response:
    """An SVG of that name, without its ending."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.svg"'}
    return Response(text, 200, headers, "image/svg+xml")
