WITH waits AS (
    SELECT date_diff('millisecond', a._time, d._time) / 1000 AS seconds
    FROM image_done d JOIN image_asked a ON a._id = d._cause
    UNION ALL
    SELECT date_diff('millisecond', a._time, d._time) / 1000 FROM email_done d JOIN email_asked a ON a._id = d._cause
)
SELECT
    (SELECT count(DISTINCT _cause) FROM image_done) AS images,
    (SELECT count(DISTINCT _cause) FROM email_done) AS mails,
    (SELECT count(*) FROM image_dead) + (SELECT count(*) FROM email_dead) AS failed,
    (SELECT quantile_cont(seconds, 0.5) FROM waits) AS p50,
    (SELECT quantile_cont(seconds, 0.99) FROM waits) AS p99
