"""``python -m hub.backup`` is ``notebooks-backup``: the image's entry."""

from hub.backup.cli import main

if __name__ == "__main__":
    main()
