"""What pods asked for, as several sources tell it."""

from accounting.measure.usage.samples import Labels, Samples
from accounting.measure.usage.sizes import merge_resizes

UID = "de305d54-75b4-431b-adb2-eb6b9e546014"
SINCE = 1_762_430_400.0
POD: Labels = {"__name__": "kube_pod_resource_request", "resource": "cpu", "uid": UID}
DEVICE: Labels = {
    "__name__": "kube_pod_container_resource_requests",
    "resource": "nvidia_com_gpu",
    "container": "notebook",
    "uid": UID,
}


def test_a_device_is_held_although_another_source_is_read_further_back() -> None:
    """Of kube-scheduler, older samples are read, to see whether it was silent before a change."""
    resized_at = SINCE - 90
    cores = [(at, 1.0 + (at >= resized_at)) for at in (SINCE + n for n in range(-290, 900, 10))]
    devices = [(SINCE + at, 1.0) for at in range(15, 900, 10)]
    samples = Samples()
    running = {UID: SINCE - 5000}
    series = [(POD, cores), (DEVICE, devices)]
    merge_resizes(samples, series, running, set(), lambda *_: "", since=SINCE)
    assert [at for at, _ in samples.resizes[UID]] == [resized_at]
    sizes = [samples.resources[UID], *(size for _, size in samples.resizes[UID])]
    assert [size.accelerators for size in sizes] == 2 * [(("nvidia_com_gpu", 1.0),)]
