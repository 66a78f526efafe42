-- Every event that was finished on the day, with what it took.
SELECT 'picture' AS kind, d._time AS finished, date_diff('millisecond', a._time, d._time) / 1000 AS seconds, d._cause AS event,
    'done' AS outcome
FROM image_done d LEFT JOIN image_asked a ON a._id = d._cause
UNION ALL
SELECT 'mail', d._time, date_diff('millisecond', a._time, d._time) / 1000, d._cause, 'done'
FROM email_done d LEFT JOIN email_asked a ON a._id = d._cause
UNION ALL
SELECT 'picture', d._timestamp, NULL, d._id, 'failed' FROM image_dead d
UNION ALL
SELECT 'mail', d._timestamp, NULL, d._id, 'failed' FROM email_dead d
ORDER BY finished, event, kind, outcome
