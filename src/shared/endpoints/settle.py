"""The control loop: look at an endpoint, plan, carry out, look again, until nothing is left that can be done now.

Whoever calls it, however often and in whatever order (a registration's trigger, an event, the schedule), the outcome
is the same: each run begins with a look, and one run at a time holds the record's lease.
"""

import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared import clock, metrics
from shared.clock import rfc3339
from shared.endpoints.outcome import report
from shared.endpoints.plan import CreateModel, DeleteModel, Step, UpdateEndpoint, plan
from shared.endpoints.record import LEASE, EndpointRecord
from shared.endpoints.records import EndpointForgottenError, EndpointRecords
from shared.endpoints.sagemaker import SageMaker
from shared.errors import ByobError, ConfigNotVisibleError, SageMakerError
from shared.log import logger

# Looks in one run. Each ends with less to do; what SageMaker needs time for is left to an event or the schedule.
_MAX_LOOKS: Final = 6
_VISIBILITY_SECONDS: Final = 0.5
_LOOK_AGAIN: Final = timedelta(hours=1)
_RECONCILE_AT_MOST: Final = 500
_SECONDS_FOR_ONE: Final = 30


class _LeasedError(Exception):
    """Raised when another run is at work on the endpoint; it ends with a look at the record as it is by then."""


class ControlLoop:
    """Brings endpoints to what their records want."""

    def __init__(
        self,
        endpoints: EndpointRecords,
        sagemaker: SageMaker,
        *,
        now: Callable[[], datetime] = clock.now,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoints = endpoints
        self._sagemaker = sagemaker
        self._now = now
        self._pause = pause

    def settle_all(self, names: Iterable[str]) -> list[EndpointRecord]:
        """Settle each; give the records as they are then, without those that are gone or were never known."""
        return [record for name in names if (record := self.settle(name))]

    def settle(self, name: str) -> EndpointRecord | None:
        """Bring one endpoint as far as SageMaker lets us now; None where there is no record of it (any more).

        A refusal is kept in the record, for GET to show and the schedule to try again.
        """
        record = self._endpoints.find(name)
        if record is None:
            return None
        try:
            for _ in range(_MAX_LOOKS):
                record, goes_on = self._look_and_act(name)
                if not goes_on:
                    break
        except EndpointForgottenError:
            return None
        except _LeasedError:
            with _about(record):
                logger.info("endpoint left to the run that holds it")
            return record
        failure = record.failure.code if record.failure else None
        with _about(record):
            logger.info("endpoint looked at", status=record.status.value, failure=failure)
        return record

    def reconcile(self, seconds_left: Callable[[], float]) -> int:
        """Settle what has not settled, and look again at what nobody has looked at for an hour; tell how many.

        It ends early when less than half a minute is left; the longest unseen come first, so the rest has its turn.
        """
        count = 0
        for record in self._endpoints.restless(self._now() - _LOOK_AGAIN, _RECONCILE_AT_MOST):
            if seconds_left() < _SECONDS_FOR_ONE:
                logger.warning("schedule ran out of time", looked_at=count)
                break
            self.settle(record.name)
            count += 1
        return count

    def _look_and_act(self, name: str) -> tuple[EndpointRecord, bool]:
        """Take one look under the lease, and carry out what it leads to.

        Give the record as the lease ends, and whether another look is due: something was done, or somebody came by.
        """
        # A lease, or its end, whose answer was lost and that somebody has written over is told by this from another's.
        me = uuid.uuid4().hex
        record = self._endpoints.update(name, lambda now: self._leased(now, me))
        if record.leased_by != me:
            raise _LeasedError
        with _about(record):
            try:
                return self._released(name, me, acted=self._acted(name, record))
            except ByobError:
                # Whoever comes next, the repeated trigger maybe, should not have to wait until the lease runs out.
                with suppress(ByobError):
                    self._released(name, me, acted=False)
                raise

    def _acted(self, name: str, record: EndpointRecord) -> bool:
        """Look, and carry out what that leads to; tell whether another look is due for it."""
        acted = True
        try:
            observed = self._sagemaker.observe(record.name)
            record = self._changed(name, lambda now: now.seen(observed, self._now()))
            left = plan(record)
            acted = bool(left) and record.is_due(self._now())
            for step in left if acted else ():
                self._carry_out(step, record)
            if record.is_forgettable and not left:
                self._endpoints.remove(name, unless=lambda now: not now.is_forgettable)
                logger.info("endpoint forgotten")
        except ConfigNotVisibleError as error:
            logger.info("endpoint config not visible yet", reason=str(error))
            self._pause(_VISIBILITY_SECONDS)
        except SageMakerError as error:
            code, reason = error.code, str(error)
            logger.warning("endpoint refused", code=code, reason=reason)
            metrics.record(metrics.PROVISIONING_REFUSED)
            self._changed(name, lambda now: now.refused(code, reason, self._now()))
            acted = False
        return acted

    def _changed(self, name: str, change: Callable[[EndpointRecord], EndpointRecord]) -> EndpointRecord:
        """Keep a change, and report what it brought about."""
        befores: list[EndpointRecord] = []

        def remembering(record: EndpointRecord) -> EndpointRecord:
            befores.append(record)
            return change(record)

        after = self._endpoints.update(name, remembering)
        # Somebody may have asked for something else since the lease was taken; what follows is done for them.
        logger.append_keys(requested_by=after.requested_by)
        report(befores[-1], after, self._now())
        return after

    def _leased(self, record: EndpointRecord, me: str) -> EndpointRecord:
        """Take the lease, or leave word to whoever holds it, as they may have looked before our reason to come."""
        now = self._now()
        if record.is_leased(now):
            return record if record.leased_by == me else replace(record, nudged=True)
        return replace(record, leased_until=rfc3339(now + LEASE), leased_by=me, nudged=False)

    def _released(self, name: str, me: str, *, acted: bool) -> tuple[EndpointRecord, bool]:
        nudged = False

        def release(record: EndpointRecord) -> EndpointRecord:
            nonlocal nudged
            if record.leased_by != me:
                return record
            nudged = record.nudged
            return replace(record, leased_until="", leased_by="", nudged=False)

        record = self._endpoints.update(name, release)
        # A wish that came meanwhile is as good a reason for another look as a nudge.
        return record, acted or nudged or (bool(plan(record)) and record.is_due(self._now()))

    def _carry_out(self, step: Step, planned: EndpointRecord) -> None:
        name = planned.name
        if isinstance(step, CreateModel):
            # Before it is made, so that a crash leaves nothing that no record knows.
            self._endpoints.update(name, lambda record: record.noting(step.name))
        self._sagemaker.carry_out(step)
        logger.info("step carried out", step=type(step).__name__)
        metrics.record(metrics.PROVISIONING_STEPS)
        if isinstance(step, UpdateEndpoint):
            self._endpoints.update(name, lambda record: replace(record, rolled_from=planned.modified_at))
        if isinstance(step, DeleteModel):
            self._endpoints.update(name, lambda record: record.without(step.name))


def _about(record: EndpointRecord) -> AbstractContextManager[None]:
    """Have the lines logged meanwhile say which endpoint, and whose request leads here, whatever woke this run."""
    return logger.append_context_keys(endpoint=record.name, requested_by=record.requested_by)
