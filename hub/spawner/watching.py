"""Restarts KubeSpawner's watch of pods, which gives up while the API server is away."""

from typing import Any

from kubespawner import KubeSpawner


class WatchingSpawner(KubeSpawner):  # type: ignore[misc]
    """KubeSpawner that looks at the cluster again once its watch has given up.

    KubeSpawner's watch ends after some 50 seconds of failures and tells nobody: then servers that
    start later never get ready, and the end of others is not noticed.
    """

    async def _start_reflector(
        self, kind: str, reflector_class: Any, replace: bool = False, **kwargs: Any
    ) -> Any:
        """Also replace a watch that has ended; each look at any server comes here first.

        Until a new watch can start, the hub keeps what it saw last: it does not count servers as
        ended because the API server is away.
        """
        key = self._get_reflector_key(kind)
        last = self.reflectors.get(key)
        gave_up = last is not None and last.watch_task is not None and last.watch_task.done()
        try:
            return await super()._start_reflector(
                kind, reflector_class, replace or gave_up, **kwargs
            )
        except Exception:
            if not gave_up:
                raise
            self.reflectors[key] = last
            return last
