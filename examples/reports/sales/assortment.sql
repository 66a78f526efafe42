SELECT
    p.category, p.name AS product, sum(o.quantity) AS units, count(*) AS orders,
    sum(o.amount_cents) / 100.0 AS revenue,
    sum(o.amount_cents) * 1.0 / sum(sum(o.amount_cents)) OVER () AS share
FROM orders o JOIN products p ON p.id = o.product_id
WHERE o.ordered_on BETWEEN :from AND :until AND (:region = 'all' OR o.region = :region)
GROUP BY p.id
ORDER BY p.category, revenue DESC, product
