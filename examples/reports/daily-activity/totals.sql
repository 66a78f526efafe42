SELECT
    count(*) FILTER (outcome = 'done') AS done,
    count(*) FILTER (outcome = 'failed') AS failed,
    quantile_cont(seconds, 0.5) AS p50,
    quantile_cont(seconds, 0.99) AS p99
FROM ended
