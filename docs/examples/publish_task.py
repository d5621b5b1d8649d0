"""Publish a task to the bus and follow it to its curated trajectory. Needs nats-py alone: pip install nats-py

NATS_URL=nats://127.0.0.1:4222 NATS_USER=client NATS_PASSWORD=… python publish_task.py simple-task-001 sim/expert
"""

import asyncio
import json
import os
import sys
import uuid

import nats
from nats.aio.msg import Msg

EVENTS = ("task.accepted", "task.rejected", "attempt.started", "step.recorded", "attempt.closed", "trajectory.curated")


async def main(task: str, route: str) -> int:
    connection = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        user=os.environ.get("NATS_USER"),
        password=os.environ.get("NATS_PASSWORD"),
    )
    submission = str(uuid.uuid4())
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def on_event(message: Msg) -> None:
        event = json.loads(message.data)
        if event.get("submission_id") != submission or ended.done():
            return
        print(message.subject, event.get("step", {}).get("index", ""), flush=True)
        if message.subject == "trajectory.curated":
            print(json.dumps({"trajectory_id": event["trajectory_id"], "status": event["status"]}), flush=True)
            ended.set_result(0)
        elif message.subject == "task.rejected":
            print(json.dumps(event["errors"]), file=sys.stderr)
            ended.set_result(1)

    for subject in EVENTS:
        await connection.subscribe(subject, cb=on_event)
    await connection.flush()
    body = {"task": task, "route": route, "submission_id": submission}
    await connection.publish("task.submitted", json.dumps(body).encode())
    try:
        return await asyncio.wait_for(ended, 120)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*(sys.argv[1:] or ["simple-task-001", "sim/expert"]))))
