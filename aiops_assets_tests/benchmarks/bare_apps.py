"""What the service is measured beside: an empty route, and a Pipeline behind the same framework and server.

``python -m aiops_assets_tests.benchmarks.bare_apps PORT MODEL_FILE`` listens until it is ended.
"""

import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Rows(BaseModel):
    instances: list[list[float]]


def app_of(pipeline: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/empty")
    async def empty() -> dict[str, str]:
        return {}

    # Not a plain function: that would add a thread's switch to each call.
    @app.post("/predict")
    async def predict(rows: Rows) -> dict[str, list[int]]:
        return {"predictions": pipeline.predict(np.array(rows.instances)).tolist()}

    return app


if __name__ == "__main__":
    port, model_file = int(sys.argv[1]), Path(sys.argv[2])
    uvicorn.run(
        app_of(joblib.load(model_file)),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
    )
