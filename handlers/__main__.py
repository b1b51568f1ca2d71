"""The command line: python -m handlers doctor | preview | runs | sweep | held | uninstall (--help says more)."""

import os
import sys

SETUP = "run `make setup`, then `.venv/bin/python -m handlers ...`"


def main() -> "int | str":
    """Run a command, or say why this Python cannot. An older one has to be able to read this file."""
    if sys.version_info < (3, 13):  # noqa: UP036
        return "This needs Python 3.13, and this is %d.%d: %s" % (*sys.version_info[:2], SETUP)  # noqa: UP031
    try:
        from handlers.console import main as run  # noqa: PLC0415

        try:
            return run(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough; what Python still has for it goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "handlers":
            raise
        return "The package " + str(error.name) + " is missing here: " + SETUP


if __name__ == "__main__":
    sys.exit(main())
