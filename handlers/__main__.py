"""The command line: python -m handlers doctor | preview | runs | uninstall (--help says more)."""

import sys

SETUP = "run `make setup`, then `.venv/bin/python -m handlers ...`"


def main():  # noqa: ANN201  (what an older Python reads of this file has to be plain enough for it)
    """Run a command; say what is missing where this Python cannot."""
    if sys.version_info < (3, 13):  # noqa: UP036
        return "This needs Python 3.13, and this is %d.%d: %s" % (*sys.version_info[:2], SETUP)  # noqa: UP031
    try:
        from handlers.console import main as run  # noqa: PLC0415

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "handlers":
            raise
        return "The package " + str(error.name) + " is missing here: " + SETUP


if __name__ == "__main__":
    sys.exit(main())
