-- All hours of the day, those in which nothing was done too.
SELECT
    h.hour,
    count(*) FILTER (outcome = 'done' AND kind = 'Pictures') AS pictures,
    count(*) FILTER (outcome = 'done' AND kind = 'Mails') AS mails,
    count(*) FILTER (outcome = 'done' AND kind = 'Videos') AS videos,
    count(*) FILTER (outcome = 'done' AND kind = 'Reports') AS reports,
    count(*) FILTER (outcome = 'done' AND kind = 'Notifications') AS notifications,
    count(*) FILTER (outcome = 'done' AND kind = 'Clean-ups') AS cleanups,
    count(*) FILTER (outcome = 'failed') AS failed
FROM (SELECT unnest(generate_series(:day::TIMESTAMPTZ, :day::TIMESTAMPTZ + INTERVAL 23 HOUR, INTERVAL 1 HOUR)) AS hour) h
LEFT JOIN ended e ON date_trunc('hour', e.finished) = h.hour
GROUP BY h.hour
ORDER BY h.hour
