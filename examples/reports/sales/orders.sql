-- Every order, for the spreadsheet.
SELECT o.id AS "order", o.ordered_on, o.region, p.category, p.name AS product, o.quantity, o.amount_cents / 100.0 AS amount
FROM orders o JOIN products p ON p.id = o.product_id
WHERE o.ordered_on BETWEEN :from AND :until AND (:region = 'all' OR o.region = :region)
ORDER BY o.ordered_on, o.id
