-- All kinds, those of which nothing was asked too.
SELECT
    k.kind,
    count(*) FILTER (outcome = 'done') AS done,
    count(*) FILTER (outcome = 'failed') AS failed,
    quantile_cont(seconds, 0.5) AS p50,
    quantile_cont(seconds, 0.99) AS p99,
    max(seconds) AS slowest
FROM (VALUES (1, 'Pictures'), (2, 'Mails'), (3, 'Videos'), (4, 'Reports'), (5, 'Notifications'), (6, 'Clean-ups')) k (place, kind)
LEFT JOIN ended e ON e.kind = k.kind
GROUP BY k.place, k.kind
ORDER BY k.place
