WITH both AS (
    SELECT
        region,
        sum(CASE WHEN ordered_on >= :from THEN amount_cents ELSE 0 END) / 100.0 AS revenue,
        sum(CASE WHEN ordered_on <= date(:until, '-1 year') THEN amount_cents ELSE 0 END) / 100.0 AS before,
        count(CASE WHEN ordered_on >= :from THEN 1 END) AS orders
    FROM orders
    WHERE ordered_on BETWEEN date(:from, '-1 year') AND :until AND (:region = 'all' OR region = :region)
    GROUP BY region
)
SELECT region, orders, revenue, before, revenue / nullif(before, 0) - 1 AS change, revenue / nullif(sum(revenue) OVER (), 0) AS share
FROM both
ORDER BY revenue DESC, region
