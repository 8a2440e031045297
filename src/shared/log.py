"""The structured log: one JSON line an outcome, an event in the past tense with keys."""

from aws_lambda_powertools import Logger

logger = Logger()
