"""Settings of home volumes."""

from pydantic import Field

from accounting.config.values import Group, Text


class StorageSettings(Group):
    """What of home volumes is measured, and what their records say."""

    measure: bool = Field(
        default=False,
        description="Measure home volumes, day by day, and show them. A destination that takes "
        "storage turns it on as well.",
        examples=[True],
    )
    system: Text = Field(
        default="",
        description="Host name of the service in storage records (StorageSystem); if not given, "
        "`cloud_compute_service`, else the site's name. Part of the records' ids: changed later, "
        "days that are sent again count twice.",
        examples=["notebooks.example.org"],
    )
    share: Text = Field(
        default="home",
        description="What the volumes are called in storage records (StorageShare).",
        examples=["home"],
    )
