-- Seconds from asked to done within which 99 of 100 came, by kind and by the hour in which they were done.
SELECT k.kind, h.hour, quantile_cont(e.seconds, 0.99) AS p99
FROM (SELECT unnest(generate_series(:day::TIMESTAMPTZ, :day::TIMESTAMPTZ + INTERVAL 23 HOUR, INTERVAL 1 HOUR)) AS hour) h
CROSS JOIN (SELECT DISTINCT kind FROM ended WHERE seconds IS NOT NULL) k
LEFT JOIN ended e ON e.kind = k.kind AND date_trunc('hour', e.finished) = h.hour
GROUP BY k.kind, h.hour
ORDER BY k.kind, h.hour
