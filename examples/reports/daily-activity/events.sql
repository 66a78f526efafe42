-- Every event that came to its end on the day, with what it took.
SELECT kind, finished, seconds, event, outcome FROM ended ORDER BY finished, event, kind, outcome
