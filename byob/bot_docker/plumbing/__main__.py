"""`python -m plumbing`: what the image starts. Unlike task.py it leaves loading the bot to the bot's own process."""

from plumbing import start

if __name__ == "__main__":
    start()
