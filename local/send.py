"""Send a push notification to the app, as Acumatica would: a file's rows, with an Id and a TimeStamp of their own.

    python -m local.send tests/fixtures/ready-made/opportunity-meetings.notification.json

A file can be a sample, or one that was downloaded from the runs page.
"""

import argparse
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import requests

from handlers.sync.change import datetime_to_ticks

_SECONDS = 60


def main(arguments: list[str] | None = None) -> int:
    """Send it and print the answer; the exit status is 0 only if the app has taken the notification in."""
    parser = argparse.ArgumentParser(
        prog="python -m local.send", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a notification in JSON")
    parser.add_argument("--url", default="http://127.0.0.1:7071", help="of the app (default: %(default)s)")
    parser.add_argument(
        "--key", default=os.environ.get("LOCAL_FUNCTION_KEY", ""), help="the function's key (default: LOCAL_FUNCTION_KEY)"
    )
    parser.add_argument("--as-is", action="store_true", help="with the Id and TimeStamp that stand in the file")
    options = parser.parse_args(arguments)
    try:
        notification = json.loads(options.file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        print(f"{options.file} cannot be read as JSON: {error}", file=sys.stderr)
        return 1
    if isinstance(notification, dict) and not options.as_is:
        notification |= {"Id": str(uuid.uuid4()), "TimeStamp": datetime_to_ticks(datetime.now(UTC))}
    address, headers = f"{options.url.rstrip('/')}/api/notifications", {"x-functions-key": options.key}
    try:
        answer = requests.post(address, json=notification, headers=headers, timeout=_SECONDS)
    except requests.RequestException as error:
        print(f"Nothing answers at {address} ({type(error).__name__}): is the app running (make run)?", file=sys.stderr)
        return 1
    print(f"{answer.status_code} {answer.reason}")
    if answer.status_code == requests.codes.unauthorized:
        print("--key has to be the one that the app prints at its start (x-functions-key).", file=sys.stderr)
    elif answer.text:
        print(_readable(answer))
    return 0 if answer.ok else 1


def _readable(answer: requests.Response) -> str:
    try:
        return json.dumps(answer.json(), indent=2, ensure_ascii=False)
    except ValueError:
        return answer.text


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # `| head` has seen enough
        os._exit(0)
