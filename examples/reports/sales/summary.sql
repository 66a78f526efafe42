-- The whole time in one row, beside the same time a year before.
WITH now_and_then AS (
    SELECT
        sum(CASE WHEN ordered_on >= :from THEN amount_cents END) / 100.0 AS revenue,
        count(CASE WHEN ordered_on >= :from THEN 1 END) AS orders,
        sum(CASE WHEN ordered_on BETWEEN date(:from, '-1 year') AND date(:until, '-1 year') THEN amount_cents END) / 100.0
            AS before
    FROM orders
    WHERE ordered_on BETWEEN date(:from, '-1 year') AND :until AND (:region = 'all' OR region = :region)
)
SELECT revenue, orders, before, revenue / nullif(before, 0) - 1 AS change, round(revenue / nullif(orders, 0), 2) AS average
FROM now_and_then
