"""The structured log: one JSON line an outcome, an event in the past tense with keys.

Never a body, an environment or a credential: libraries that would log those are held back whatever level is set.
"""

import logging

from aws_lambda_powertools import Logger

logger = Logger(utc=True, use_rfc3339=True, serialize_stacktrace=False)  # one copy of a traceback is enough

# At DEBUG these write documents with all their fields, and requests with their signed headers. opensearch-py moreover
# warns of each 404; what goes wrong there reaches our log from `shared.opensearch`, in our words.
logging.getLogger("opensearch").setLevel(logging.CRITICAL)
logging.getLogger("botocore").setLevel(logging.WARNING)
