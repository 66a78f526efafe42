WITH dead AS (
    SELECT 'image.requested' AS type, _headers FROM image_dead
    UNION ALL
    SELECT 'email.requested', _headers FROM email_dead
)
SELECT
    type,
    split_part(decode(_headers['tm_dead_error']), '.', -1) AS error,
    count(*) AS count,
    min(decode(_headers['tm_dead_message'])) AS example
FROM dead
GROUP BY type, error
ORDER BY count DESC, type, error
