"""The worker: one file of its slice after the other, until none is left."""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import NoReturn

from plumbing.contract import Environment, grace_seconds
from plumbing.errors import FileError, Interrupted, PermanentError, TransientError
from plumbing.objects import Objects
from plumbing.scratch import Scratch
from plumbing.stopping import Stop
from plumbing.supervisor import Bot
from plumbing.worklist import COMPLETED, ERROR, PROCESSING, Item, WorkList

_DONE = 0
_IN_VAIN = 1
_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
# A file with which the worker has died so often, for want of memory perhaps, or for which S3 was away so often, shall
# not keep the others waiting.
_MOST_ATTEMPTS = 5
_EXTENSION_BYTES = 32

_log = logging.getLogger("bot")


def start() -> NoReturn:
    """Work on the slice that the environment names, then exit: 0 done, 75 to be tried again, 1 in vain."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stdout)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        environment = Environment.read()
        Worker(environment, Stop(grace_seconds())).run()
    except PermanentError as error:
        _log.error("%s", error)
        sys.exit(_IN_VAIN)
    except TransientError as error:
        _log.warning("%s; the rest of the slice is left for another attempt", error)
        sys.exit(_TRY_AGAIN)
    except Interrupted:
        _log.warning("SIGTERM: the time is up; the rest of the slice is left for another attempt")
        sys.exit(_TRY_AGAIN)
    sys.exit(_DONE)


class Worker:
    """Works on one slice; `stop` tells when to end before its end."""

    def __init__(self, environment: Environment, stop: Stop) -> None:
        self._environment = environment
        self._stop = stop
        self._work_list = WorkList(environment)
        self._objects = Objects(environment.region_name)
        self._bot = Bot(sys.argv[1:])
        self._scratch = Scratch(f"byob-{environment.job_id}-{environment.batch_id}")
        self._done = 0
        self._total = 0
        self._started = time.monotonic()

    def run(self) -> None:
        """Work until the slice has no unfinished file; raise PermanentError, TransientError or Interrupted before."""
        self._scratch.make()
        try:
            self._work_list.refresh()
            self._total = self._work_list.count_unfinished()
            _log.info("slice %s of job %s: %d files", self._environment.batch_id, self._environment.job_id, self._total)
            while self._pass():
                self._work_list.refresh()
        finally:
            self._bot.stop()
            self._scratch.remove()

    def _pass(self) -> bool:
        """Go through what the list shows as unfinished; tell whether there was any."""
        before = self._done
        for item in self._work_list.unfinished():
            if self._stop.requested:
                raise TransientError("SIGTERM")
            self._bot.start()  # before anything is claimed: where task.py does not load, no file is to blame
            claimed = self._work_list.claim(item)
            if claimed:
                self._work_on(claimed, cut_off=item.status == PROCESSING)
        return self._done > before

    def _work_on(self, item: Item, *, cut_off: bool) -> None:
        began = time.monotonic()
        try:
            try:
                if cut_off:
                    _refuse_after_too_many(item)
                output = self._result_of(item)
                self._work_list.update_status_by_id(item, COMPLETED, output)
                ended = COMPLETED
            except FileError as error:
                self._work_list.update_status_by_id(item, ERROR, error_code=error.code, error=error.sentence)
                ended = f"{ERROR} {error.code}: {_printable(error.sentence)}"
        except BaseException:
            self._stop.leave_time_to_release()
            self._work_list.release(item, as_if_not_begun=self._stop.requested)
            raise
        self._done += 1
        rate = self._done / max(time.monotonic() - self._started, 0.001)
        took = time.monotonic() - began
        progress = f"{self._done} of {self._total} done, {rate:.1f} files/s"
        _log.info("%s: %s: %s (%.2f s)", progress, _printable(item.file_key), ended, took)

    def _result_of(self, item: Item) -> str:
        """Have main_task work on a file and its result written; give where the result is."""
        bucket, key = self._environment.output_s3_bucket, self._environment.output_key(item.file_key)
        with tempfile.TemporaryDirectory(dir=self._scratch.path, ignore_cleanup_errors=True) as directory:
            file, result = Path(directory, f"file{_extension(item.file_key)}"), Path(directory, "result")
            try:
                self._objects.download(item.bucket, item.file_key, file)
                self._bot.run(file, result)
                self._objects.upload(result, bucket, key)
            except TransientError as error:
                if item.attempts < _MOST_ATTEMPTS:
                    raise
                raise FileError("Unavailable", str(error)) from error  # for this file S3 seems to stay so
        return f"s3://{bucket}/{key}"


def _refuse_after_too_many(item: Item) -> None:
    if item.attempts > _MOST_ATTEMPTS:
        raise FileError("WorkerLost", f"the worker was cut off {_MOST_ATTEMPTS} times while at this file")


def _extension(key: str) -> str:
    """Give the extension of a key, for libraries that go by it; "" where a file name could not carry it."""
    extension = PurePosixPath(key).suffix
    usable = extension.isprintable() and len(os.fsencode(extension)) <= _EXTENSION_BYTES
    return extension if usable else ""


def _printable(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
