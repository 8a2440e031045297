"""How work ends early.

Exception
├── FileError         this file is an ERROR; the next one is begun
├── TransientError    the same may succeed later: exit code 75, AWS Batch tries again
└── PermanentError    it would fail again: exit code 1
BaseException
└── Interrupted       the time after SIGTERM is up
"""

_CODE_CHARACTERS = 200
_SENTENCE_CHARACTERS = 2000


class FileError(Exception):
    """Raised when one file cannot be worked on: `code` is an exception's class or another short word.

    Both may come from the author's code, so they are brought to a form that can be stored: cut, and UTF-8.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = _storable(code[:_CODE_CHARACTERS])
        self.sentence = _storable(sentence[:_SENTENCE_CHARACTERS])


class TransientError(Exception):
    """Raised when OpenSearch or AWS stayed away for longer than is waited for, or the machine is reclaimed."""


class PermanentError(Exception):
    """Raised when the environment is incomplete, access is refused, or task.py cannot be loaded."""


class Interrupted(BaseException):  # not an Exception, so that no library takes it for a fault of its own
    """Raised in the main thread, wherever it is, once the time that SIGTERM leaves is used up."""


def _storable(text: str) -> str:
    # Half a surrogate pair, as in the name of a file that is not UTF-8, has no place in a document.
    return text.encode(errors="backslashreplace").decode()
