"""Running functions: time-out, log, output bindings, and knowing what is still running."""

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from local.host.worker import Answer, Binding, Data, Function, FunctionError, Worker

log = logging.getLogger("host")


class Output(Protocol):
    """Delivers a value of an output binding."""

    async def deliver(self, binding: Binding, data: Data) -> None:
        """Deliver it, or raise."""


class Invocations:
    """Runs functions and keeps account of those that are running."""

    def __init__(self, worker: Worker, outputs: Mapping[str, Output], timeout: float) -> None:
        """Take the deliverers of outputs by type of binding, and the time-out in seconds."""
        self._worker = worker
        self._outputs = outputs
        self._timeout = timeout
        self._running: set[asyncio.Task[Any]] = set()
        self._executing = 0

    def begin[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that `drain` shall wait for."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def run(self, function: Function, value: Data, metadata: Mapping[str, Data] | None = None) -> Answer | None:
        """Run a function and deliver its outputs; return None when that failed, which is logged as in Azure."""
        started = time.monotonic()
        invocation_id = str(uuid.uuid4())

        def executed(how: str, details: str = "") -> None:
            level = logging.DEBUG if how == "Succeeded" else logging.ERROR
            duration = round((time.monotonic() - started) * 1000)
            message = "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)%s"
            log.log(level, message, function.name, how, invocation_id, duration, details)

        self._executing += 1
        try:
            answer = await asyncio.wait_for(
                self._worker.invoke(function, invocation_id, value, metadata or {}),
                None if self._timeout == float("inf") else self._timeout,
            )
        except FunctionError as error:
            executed("Failed", f"\n{error.trace or error}")
            return None
        except TimeoutError:
            # Azure ends the process of the worker then. A thread cannot be ended: the function goes on, unheard.
            # https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
            executed("Failed", f"\nTimeout value of {self._timeout:g} s exceeded (functionTimeout in host.json).")
            return None
        finally:
            self._executing -= 1
        try:
            await self._deliver(function, answer)
        except Exception:  # noqa: BLE001 - whatever goes wrong fails this invocation, not the host
            executed("Failed", f"\nIts outputs could not be delivered.\n{traceback.format_exc()}")
            return None
        executed("Succeeded")
        return answer

    async def _deliver(self, function: Function, answer: Answer) -> None:
        values = dict(answer.outputs)
        if answer.returned:
            values["$return"] = answer.returned
        for name, binding in function.outputs.items():
            output = self._outputs.get(str(binding["type"]).lower())
            if output and name in values:
                await output.deliver(binding, values[name])

    async def drain(self, grace: float) -> int:
        """Wait for what is running, at most `grace` seconds; return how many functions are still running then."""
        deadline = time.monotonic() + grace
        while self._running and time.monotonic() < deadline:
            # Not for a fixed set: a fetch that ends now begins to process its messages.
            await asyncio.wait(self._running, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
        return self._executing
