"""Periodic jobs: from jobs.toml to jobs, their times and their events. Nothing of Kafka, no threads, no clock.

What the rest of the scheduler uses:

    job.py          Job(name, schedule, jitter, enabled, missed, missed_limit, grace, overlap, stream, emit)
                        .fingerprint -> str; .due_at(scheduled_at) -> datetime
                        .to_json() -> str; Job.from_json(text: str | bytes) -> Job, raises ConfigError
                    Emit(type, payload, key, subject)
    schedule.py     Schedule(pattern: Cron | Every | At, zone: ZoneInfo, starts, ends)
                        .after(moment) -> datetime | None; .before(moment) -> datetime | None
                        .count(start, end, most) -> int; .interval(scheduled_at) -> (start, end)
    cron.py         Cron(expression, zone)
                        .left_out(scheduled_at) -> naive datetime | None: the time in a spring gap that a run is for
    offsets.py      moments_of(wall, zone) -> moments in UTC that show a naive wall time: 0 in a gap, 2 if repeated
    pending.py      decide(job, last, now, *, missed_before=0, most_emitted=1000) -> Decision
                        Decision(emit: list[datetime], skipped: list[Skipped], missed: int, next: datetime | None)
                        .settled -> datetime | None; Skipped(first, last, count, reason, capped)
    payload.py      render(job, scheduled_at, catalogue, *, sequence, missed=0, manual=False) -> Rendered | None
                        Rendered(event, key, subject); raises ContractError, ExpressionError
    file.py         read_jobs(path, catalogue, now, *, takers=installed_takers) -> list[Job], raises JobsError
                    parse_jobs(text, catalogue, now, *, origin="jobs.toml", takers=installed_takers) -> list[Job]
    faults.py       JobsError(ConfigError).faults: tuple[JobFault(line, job, found, hint), ...]

All moments are aware datetimes; those returned are in UTC. What a schedule means is in docs/schedules.md.
"""
