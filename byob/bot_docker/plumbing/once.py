"""`python -m plumbing.once FILE RESULT`: calls main_task for one local file, as the worker would, and keeps its result.

For trying a bot before its image is built; nothing here looks for a work list or for S3.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from plumbing.errors import FileError, PermanentError
from plumbing.supervisor import Bot


def main() -> None:
    """Try the file that the first argument names; exit with 1 and a sentence where main_task fails."""
    sample, result = map(Path, sys.argv[1:3])
    bot = Bot(sys.argv[3:])
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            file = Path(directory, f"file{sample.suffix}")
            shutil.copyfile(sample, file)
            bot.run(file, result)
    except (PermanentError, FileError) as error:
        code = f"{error.code}: " if isinstance(error, FileError) else ""
        sys.exit(f"{code}{error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        bot.stop()


if __name__ == "__main__":
    main()
