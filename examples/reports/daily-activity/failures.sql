SELECT type, error, count(*) AS count, min(message) AS example
FROM ended
WHERE outcome = 'failed'
GROUP BY type, error
ORDER BY count DESC, type, error
