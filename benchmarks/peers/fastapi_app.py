"""GET /bots/{name} by FastAPI in Lambda by Mangum, as their documentation shows."""

from typing import Any

from fastapi import FastAPI, HTTPException
from mangum import Mangum
from opensearchpy.exceptions import NotFoundError

from benchmarks.peers.model import Bot
from benchmarks.peers.registry import read

app = FastAPI()


@app.get("/bots/{name}", response_model=Bot)
def get_bot(name: str) -> Any:
    """Read a bot back, with the state of its endpoints."""
    try:
        return read(name)
    except NotFoundError:
        raise HTTPException(status_code=404, detail="Bot not found") from None


handler = Mangum(app, lifespan="off")
