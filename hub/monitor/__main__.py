"""``python -m hub.monitor`` is ``notebooks-monitor``: the image's entry."""

from hub.monitor.cli import main

if __name__ == "__main__":
    main()
