"""A host for the function app on this machine: `python -m local.host`.

    function_app.py ── worker.py ── invocations.py ─┬─ web.py     HTTP front, keys, admin endpoint
       (the app)     (Microsoft's     (time-out,    ├─ queues.py  queue triggers, poison queues, queue outputs
                      worker library)  log, outputs)└─ timers.py  timer triggers

The app runs on the library that runs it in Azure. Around it, each module does what the Azure Functions host does and
names the page that says so. Differences: time-outs cannot stop a thread, and timers do not remember past occurrences.
Tests use `HostProcess`, which runs the command in a process of its own.
"""

from local.host.process import HostProcess, start

__all__ = ["HostProcess", "start"]
