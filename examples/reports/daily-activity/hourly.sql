-- All hours of the day, those without an event too.
WITH done AS (
    SELECT date_trunc('hour', _time) AS hour, 'images' AS kind FROM image_done
    UNION ALL
    SELECT date_trunc('hour', _time), 'mails' FROM email_done
    UNION ALL
    SELECT date_trunc('hour', _timestamp), 'failed' FROM image_dead
    UNION ALL
    SELECT date_trunc('hour', _timestamp), 'failed' FROM email_dead
)
SELECT
    h.hour,
    count(*) FILTER (kind = 'images') AS images,
    count(*) FILTER (kind = 'mails') AS mails,
    count(*) FILTER (kind = 'failed') AS failed
FROM (SELECT unnest(generate_series(:day::TIMESTAMPTZ, :day::TIMESTAMPTZ + INTERVAL 23 HOUR, INTERVAL 1 HOUR)) AS hour) h
LEFT JOIN done ON done.hour = h.hour
GROUP BY h.hour
ORDER BY h.hour
