"""Both fakes as a program: `python -m local.fakes`. Prints the app settings to use, and serves until Ctrl-C or SIGTERM."""

import argparse
import shlex
import signal
import sys
import threading

from local.fakes import FakeAcumatica, FakeGraph, app_settings

_HINTS = """
# Paste the lines above where the app is started (make run). Then look, and change, from a third terminal:
#   calendars            curl {graph}/_fake/state
#   records, sessions    curl {acumatica}/_fake/state
#   make a record        curl {acumatica}/_fake/records \\
#       -d '{{"entity": "Opportunity", "fields": {{"OpportunityID": "OP1", "Subject": "Demo"}}}}'
#   switches             curl {graph}/_fake/switches; curl {acumatica}/_fake/switches
#   turn a switch        curl {acumatica}/_fake/switches -d '{{"maintenance": true}}'
#   make it fail         curl {graph}/_fake/faults -d '{{"method": "POST", "kind": "status_after", "answer": "gateway"}}'
# Ctrl-C stops."""


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m local.fakes", description=__doc__)
    parser.add_argument("--graph-port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--acumatica-port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--tenant", default="Production", help="Acumatica's tenant")
    parser.add_argument("--session-limit", type=int, default=2, help="API users of the licence")
    parser.add_argument("--latency-graph", type=float, default=0, metavar="MS", help="milliseconds before each answer")
    parser.add_argument("--latency-acumatica", type=float, default=0, metavar="MS", help="milliseconds before each answer")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    graph = FakeGraph(options.graph_port, options.latency_graph / 1000)
    acumatica = FakeAcumatica(
        options.acumatica_port, options.latency_acumatica / 1000, tenant=options.tenant, session_limit=options.session_limit
    )
    with graph, acumatica:
        for name, value in (graph.identity_settings | app_settings(graph, acumatica)).items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        print(_HINTS.format(graph=graph.url, acumatica=acumatica.url), file=sys.stderr, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
