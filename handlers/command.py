"""What every command has: its name and options, the app's settings and services, and how it prints."""

import argparse
import contextlib
import getpass
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from handlers.again import Refused
from handlers.clients.tables import StorageError, in_words
from handlers.services import Factory, NotReady


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, *, storage: bool = True
) -> argparse.ArgumentParser:
    """Add a command; `storage`: it uses the app's settings. Returns its parser, for options of its own."""
    first = text.partition("\n")[0].rstrip(".")
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=first[0].lower() + first[1:], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.set_defaults(run=run)
    made.add_argument("--json", action="store_true", help="print JSON")
    if storage:
        text = "settings file (default: local.settings.json, if any)"
        made.add_argument("--settings", type=Path, metavar="FILE", help=text)
    return made


def environment(file: Path | None) -> dict[str, str]:
    """The app settings of a command: the environment over the "Values" of local.settings.json."""
    known, values = file or Path("local.settings.json"), {}
    if file or known.exists():
        try:
            values = json.loads(known.read_text(encoding="utf-8-sig"))["Values"]
            values.keys()
        except KeyError:
            raise SystemExit(
                f'{known}: "Values" is missing; the settings stand in it: {{"IsEncrypted": false, "Values": {{ … }}}}'
            ) from None
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise SystemExit(f"{known} cannot be read as settings: {type(error).__name__}") from None
    return {name: str(value) for name, value in values.items()} | dict(os.environ)


@contextlib.contextmanager
def opened(options: argparse.Namespace) -> Iterator[Factory]:
    """The app's services for a command; what can be expected to go wrong ends it with a word."""
    factory = Factory(environment(options.settings))
    try:
        yield factory
    except NotReady as error:
        raise SystemExit("\n".join([f"not ready ({error.part}):", *error.problems])) from None
    except Refused as error:
        raise SystemExit(str(error)) from None
    except StorageError as error:
        raise SystemExit("storage: {}. {}".format(*in_words(error))) from None
    finally:
        factory.close()


def who() -> str:
    """Whoever runs the command, as the activity names them."""
    return f"{getpass.getuser()} (command line)"


def say(options: argparse.Namespace, data: Any, lines: Sequence[str]) -> None:
    """Print what a command has found: as JSON with --json, else as lines."""
    print(json.dumps(data, ensure_ascii=False, indent=2, default=str) if options.json else "\n".join(lines))
