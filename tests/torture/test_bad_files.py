"""A file that raises and one that hangs among many, over the whole stack: they are told, and nothing else is lost."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.casualties import LOG_THE_FILE, TWO_BAD_ONES, reasons_of_the_bad_ones, site, with_two_bad_ones
from tests.jobs import begun, files, finished, registered, results
from tests.proxies import SigningProxy
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
_LONG_SECONDS: Final = 600


def test_one_file_that_raises_and_one_that_hangs_are_told_and_are_all_that_a_retry_touches(
    torture: Torture, signed_opensearch: SigningProxy, configuration: Make, tmp_path: Path
) -> None:
    count, timeout_seconds = torture.size((1000, 10), short=(40, 2))
    every, well = with_two_bad_ones(count)
    with site(signed_opensearch.url, tmp_path) as here:
        api = here.api
        here.bot.write_task(TWO_BAD_ONES, timeout_seconds=timeout_seconds)
        bucket = here.uploaded(every)
        bot = registered(api, configuration(file_types=".txt"))
        began = time.monotonic()
        id = begun(api, bot, bucket, number_of_bots=2)
        job, seconds = finished(api, id, _LONG_SECONDS), time.monotonic() - began
        assert (job["status"], job["reason"]) == (
            "COMPLETED_WITH_ERRORS",
            f"2 of {count} files were refused by the bot",
        )
        assert job["counts"] == {"NOT_STARTED": 0, "PROCESSING": 0, "COMPLETED": count - 2, "ERROR": 2}
        told = {file["file_key"]: (file["error_code"], file["error"]) for file in files(api, id, status="ERROR")}
        assert told == reasons_of_the_bad_ones(timeout_seconds)
        assert results(api, bucket) == sorted(f"results/{key}.json" for key in well)
        before, calls_before = files(api, id, status="COMPLETED"), here.bot.calls()

        here.bot.write_task(LOG_THE_FILE)
        assert api("POST", f"/jobs/{id}/retry").status == 202

        job = finished(api, id, _LONG_SECONDS)
        calls = here.bot.calls()[len(calls_before) :]
        untouched = [file for file in files(api, id) if file["file_key"] not in told]
        written = results(api, bucket)

    torture.report(
        "bad_files",
        len(before),
        "files completed beside bad ones",
        goal=f"{count - 2:,} of {count:,}, 2 retried alone",
        holds=len(before) == count - 2 and sorted(calls) == sorted(told),
        note=f"one raised, one hung; {len(calls)} files called again by the retry, "
        f"{len(set(calls) - set(told))} of them done before, "
        f"{count / seconds:,.0f} files/s",
    )
    assert (job["status"], job["run"], job["counts"]["COMPLETED"]) == ("COMPLETED", 2, count)
    assert sorted(calls_before) == sorted(every)
    assert untouched == before
    assert written == sorted(f"results/{key}.json" for key in every)
