"""The fakes as a program: `python -m local.fakes`. Prints the app settings to use, and serves until Ctrl-C or SIGTERM."""

import argparse
import os
import secrets
import shlex
import signal
import sys
import threading
from pathlib import Path

from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, app_settings
from local.sample import NOTIFICATIONS, make_records

_HINTS = """
# Paste the lines above where the app is started (make run). Then look, and change, from a third terminal:
#   runs page            {runs}, with the RUNS_KEY above
#   calendars            {curl} {graph}/_fake/state
#   records, sessions    {curl} {acumatica}/_fake/state
#   what hooks know      {curl} {receivers}/_fake/state
#   make a record        {curl} {acumatica}/_fake/records -d entity=Opportunity -d fields.OpportunityID=OP1
#   switches             {curl} {graph}/_fake/switches
#                        {curl} {acumatica}/_fake/switches
#   turn a switch        {curl} {acumatica}/_fake/switches -d maintenance=true
#   make it fail         {curl} {graph}/_fake/faults -d method=POST -d kind=status_after -d answer=gateway -d times=1
#   send a notification  {python} -m local.send {sample} --key {key}
# Ctrl-C stops."""
_SAMPLE = NOTIFICATIONS / "opportunity-meetings.notification.json"
# How an app setting is written for a shell, and what curl is called there: in Windows PowerShell `curl` is another command.
_SHELLS = {"bash": ("export {}={}", "curl"), "powershell": ("$env:{} = {}", "curl.exe")}


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m local.fakes", description=__doc__)
    parser.add_argument("--graph-port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--acumatica-port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--tenant", default="Production", help="Acumatica's tenant")
    parser.add_argument("--session-limit", type=int, default=2, help="API users of the licence")
    parser.add_argument("--latency-graph", type=float, default=0, metavar="MS", help="milliseconds before each answer")
    parser.add_argument("--latency-acumatica", type=float, default=0, metavar="MS", help="milliseconds before each answer")
    here = "powershell" if os.name == "nt" else "bash"
    parser.add_argument("--shell", choices=_SHELLS, default=here, help="whose settings to print (default here: %(default)s)")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    graph = FakeGraph(options.graph_port, options.latency_graph / 1000)
    acumatica = FakeAcumatica(
        options.acumatica_port, options.latency_acumatica / 1000, tenant=options.tenant, session_limit=options.session_limit
    )
    with graph, acumatica, FakeReceivers(graph.identity) as receivers:
        make_records(acumatica)
        key = secrets.token_hex(16)
        settings = graph.identity_settings | app_settings(graph, acumatica) | receivers.settings
        settings |= {"RUNS_KEY": secrets.token_hex(16), "LOCAL_FUNCTION_KEY": key}
        if any(Path("mappings").glob("*.toml")):
            settings["MAPPINGS_DIR"] = "mappings"
        line, curl = _SHELLS[options.shell]
        quoted = shlex.quote if options.shell == "bash" else "'{}'".format
        for name, value in settings.items():
            print(line.format(name, quoted(value)), flush=True)
        python = Path(sys.executable)
        python = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
        runs = f"http://127.0.0.1:{os.environ.get('PORT', '7071')}/api/runs"
        about = {"graph": graph.url, "acumatica": acumatica.url, "receivers": receivers.url}
        about |= {"python": str(python), "sample": str(_SAMPLE), "key": key}
        print(_HINTS.format(curl=curl, runs=runs, **about), file=sys.stderr, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
