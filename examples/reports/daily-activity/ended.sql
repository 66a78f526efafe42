-- What came to its end on the day: a row for each request that was met, and for each dead letter.
WITH asked AS (
    SELECT 'Pictures' AS kind, _id, _time FROM image_asked
    UNION ALL SELECT 'Mails', _id, _time FROM email_asked
    UNION ALL SELECT 'Videos', _id, _time FROM video_asked
    UNION ALL SELECT 'Reports', _id, _time FROM report_asked
    UNION ALL SELECT 'Notifications', _id, _time FROM notification_asked
    UNION ALL SELECT 'Clean-ups', _id, _time FROM cleanup_asked
),
done AS (
    SELECT 'Pictures' AS kind, _cause AS event, _time AS finished, true AS is_timed FROM image_done
    UNION ALL SELECT 'Mails', _cause, _time, true FROM email_done
    UNION ALL SELECT 'Videos', _cause, _time, true FROM video_done
    UNION ALL SELECT 'Reports', _cause, _time, true FROM report_done
    -- Several may have gone as one. What waited for a morning or a digest was meant to, and says nothing of speed.
    UNION ALL
    SELECT 'Notifications', notice, _time, notice = _cause
    FROM (SELECT unnest(notices) AS notice, _cause, _time FROM notification_done WHERE outcome = 'sent')
    UNION ALL SELECT 'Clean-ups', _cause, _time, true FROM cleanup_done
),
dead AS (
    SELECT 'Pictures' AS kind, 'image.requested' AS type, _id, _timestamp, _headers FROM image_dead
    UNION ALL SELECT 'Mails', 'email.requested', _id, _timestamp, _headers FROM email_dead
    UNION ALL SELECT 'Videos', 'video.requested', _id, _timestamp, _headers FROM video_dead
    UNION ALL SELECT 'Reports', 'report.requested', _id, _timestamp, _headers FROM report_dead
    UNION ALL SELECT 'Notifications', 'notification.requested', _id, _timestamp, _headers FROM notification_dead
    UNION ALL SELECT 'Notifications', 'notification.due', _id, _timestamp, _headers FROM notification_due_dead
    UNION ALL SELECT 'Clean-ups', 'cleanup.requested', _id, _timestamp, _headers FROM cleanup_dead
),
-- An event that ran twice is in its topic twice.
first_asked AS (SELECT kind, _id, min(_time) AS time FROM asked GROUP BY kind, _id),
first_done AS (SELECT kind, event, min(finished) AS finished, bool_and(is_timed) AS is_timed FROM done GROUP BY kind, event)
SELECT
    d.kind,
    d.finished,
    CASE WHEN d.is_timed THEN date_diff('millisecond', a.time, d.finished) / 1000 END AS seconds,
    d.event,
    'done' AS outcome,
    NULL AS type,
    NULL AS error,
    NULL AS message
FROM first_done d LEFT JOIN first_asked a ON a.kind = d.kind AND a._id = d.event
UNION ALL
SELECT
    kind, _timestamp, NULL, _id, 'failed', type,
    split_part(decode(_headers['tm_dead_error']), '.', -1), decode(_headers['tm_dead_message'])
FROM dead
