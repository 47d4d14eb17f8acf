#!/usr/bin/env python
"""Run Valhalla's management commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as wrong:
        print(f"valhalla: {wrong}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
