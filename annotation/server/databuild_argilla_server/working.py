"""The worker: jobs that Argilla leaves for later, such as new record statuses after a change."""

from __future__ import annotations

from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION
from rq import SimpleWorker
from rq.registry import StartedJobRegistry

from databuild_argilla_server import engine, storage


def work() -> None:
    """Do jobs one after the other, in this process: a forked one would not know the engine."""
    for queue in (HIGH_QUEUE, DEFAULT_QUEUE):
        started = StartedJobRegistry(queue=queue)
        for job_id in started.get_job_ids():  # of a worker that was killed: this is the only one
            job = queue.fetch_job(job_id)
            if job is not None:
                started.remove(job)
                queue.enqueue_job(job)
    storage.tell(f"working, search engine: {engine.NAME}")
    SimpleWorker([HIGH_QUEUE, DEFAULT_QUEUE], connection=REDIS_CONNECTION).work()
