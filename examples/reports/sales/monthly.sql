SELECT strftime('%Y-%m-01', ordered_on) AS month, region, sum(amount_cents) / 100.0 AS revenue
FROM orders
WHERE ordered_on BETWEEN :from AND :until AND (:region = 'all' OR region = :region)
GROUP BY month, region
ORDER BY month, CASE region WHEN 'North' THEN 1 WHEN 'South' THEN 2 WHEN 'East' THEN 3 WHEN 'West' THEN 4 ELSE 5 END
