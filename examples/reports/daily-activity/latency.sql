-- From asked to done, by the hour in which it was done.
WITH waits AS (
    SELECT date_trunc('hour', d._time) AS hour, date_diff('millisecond', a._time, d._time) / 1000 AS seconds
    FROM image_done d JOIN image_asked a ON a._id = d._cause
    UNION ALL
    SELECT date_trunc('hour', d._time), date_diff('millisecond', a._time, d._time) / 1000
    FROM email_done d JOIN email_asked a ON a._id = d._cause
)
SELECT
    h.hour, count(seconds) AS count, quantile_cont(seconds, 0.5) AS p50, quantile_cont(seconds, 0.99) AS p99,
    max(seconds) AS slowest
FROM (SELECT unnest(generate_series(:day::TIMESTAMPTZ, :day::TIMESTAMPTZ + INTERVAL 23 HOUR, INTERVAL 1 HOUR)) AS hour) h
LEFT JOIN waits ON waits.hour = h.hour
GROUP BY h.hour
ORDER BY h.hour
