SELECT p.name AS product, sum(o.amount_cents) / 100.0 AS revenue
FROM orders o JOIN products p ON p.id = o.product_id
WHERE o.ordered_on BETWEEN :from AND :until AND (:region = 'all' OR o.region = :region)
GROUP BY p.id
ORDER BY revenue DESC, product
LIMIT 8
