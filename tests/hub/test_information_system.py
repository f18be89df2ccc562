"""D4Science's XML becomes profiles and volumes; what is odd in it becomes nothing worse."""

import pytest

from hub.authenticator.information_system import (
    Options,
    ServerOption,
    VolumeOption,
    options_of,
    profiles,
    volumes,
)
from hub.oidc.errors import Unavailable

XML = b"""<genericResources>
  <Resource><Profile><Body><ServerOption>
    <AuthId>small</AuthId><ImageId>example.org/lab:1</ImageId>
    <Info><Name>Small</Name><Description>For a start</Description></Info>
    <Cut><Cores>2</Cores><Memory unit="GB">4</Memory></Cut>
  </ServerOption></Body></Profile></Resource>
  <Resource><Profile><Body><ServerOption default="true">
    <AuthId>large</AuthId><ImageId>example.org/lab:1</ImageId>
    <Info><Name>Large</Name></Info><Cut><Cores>8.5</Cores><Memory unit="G"> 32 </Memory></Cut>
  </ServerOption></Body></Profile></Resource>
  <Resource><Profile><Body><ServerOption><AuthId>odd</AuthId>
    <Cut><Cores>many</Cores><Memory unit="G">much</Memory></Cut>
  </ServerOption></Body></Profile></Resource>
  <Resource><Profile><Body><ServerOption>
    <Info><Name>Without an id</Name></Info>
  </ServerOption></Body></Profile></Resource>
  <Resource><Profile><Body><VolumeOption>
    <Name>Shared</Name><Permission>Read-Write</Permission>
  </VolumeOption></Body></Profile></Resource>
  <Resource><Profile><Body><VolumeOption>
    <Name>Data</Name><Permission>Read-only</Permission>
  </VolumeOption></Body></Profile></Resource>
  <Resource><Profile><Body><VolumeOption><Name>Silent</Name></VolumeOption></Body></Profile></Resource>
  <Resource><Profile><Body><SomethingElse/></Body></Profile></Resource>
</genericResources>"""

OPTIONS = Options(
    servers=(
        ServerOption("small", "Small", "For a start", "example.org/lab:1", 2.0, "4G"),
        ServerOption("large", "Large", "", "example.org/lab:1", 8.5, "32G", is_default=True),
        ServerOption("odd", "odd"),
    ),
    volumes=(
        VolumeOption("Shared", is_writable=True),
        VolumeOption("Data", is_writable=False),
        VolumeOption("Silent", is_writable=False),
    ),
)


def test_the_xml_is_read_whole_and_what_is_odd_is_left_out() -> None:
    assert options_of(XML) == OPTIONS
    assert options_of(b"<genericResources/>") == Options((), ())


def test_permitted_environments_become_profiles_the_default_first() -> None:
    assert profiles(OPTIONS, ["small", "large", "unknown"]) == [
        {
            "display_name": "Large - 8.5 cores / 32G memory",
            "description": "",
            "slug": "large",
            "kubespawner_override": {
                "image": "example.org/lab:1",
                "cpu_limit": 8.5,
                "mem_limit": "32G",
            },
            "default": True,
        },
        {
            "display_name": "Small - 2 cores / 4G memory",
            "description": "For a start",
            "slug": "small",
            "kubespawner_override": {
                "image": "example.org/lab:1",
                "cpu_limit": 2.0,
                "mem_limit": "4G",
            },
            "default": False,
        },
    ]
    assert profiles(OPTIONS, []) == []
    (odd,) = profiles(OPTIONS, ["odd"])
    assert odd["kubespawner_override"] == {}


def test_volumes_are_read_only_but_for_read_write_ones_and_for_data_managers() -> None:
    assert volumes(OPTIONS, ["Member"]) == {"Shared": True, "Data": False, "Silent": False}
    assert volumes(OPTIONS, ["Data-Manager"]) == {"Shared": True, "Data": True, "Silent": True}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"not xml", "no XML"),
        (b"", "no XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        (b'<!doctype x SYSTEM "file:///etc/passwd"><x/>', "document type"),
    ],
)
def test_what_is_no_plain_xml_is_refused(document: bytes, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        options_of(document)
