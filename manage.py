#!/usr/bin/env python3
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dispycluster.settings")
    if sys.argv[1:2] == ["doctor"]:  # works where the settings are wrong, and makes no home
        from dispycluster.doctor.examine import main as examine

        sys.exit(examine(sys.argv[2:]))
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
