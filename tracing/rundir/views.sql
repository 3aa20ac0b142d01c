-- DuckDB views of a run directory. In the folder:  duckdb -init views.sql
CREATE OR REPLACE VIEW draws AS SELECT * FROM read_parquet('draws/*.parquet');
CREATE OR REPLACE VIEW addresses AS SELECT * FROM read_parquet('addresses/*.parquet');

-- Every statement with its address. While a run is being written, draws says which are complete.
CREATE OR REPLACE VIEW sites AS
SELECT s.*, a.base, a.role, a.kind, d.log_weight
FROM read_parquet('sites/*.parquet') s
JOIN addresses a ON a.id = s.address
JOIN draws d USING (draw)
ORDER BY s.draw, s."index";

-- Named scalars, with the weights of their traces normalised to sum 1.
CREATE OR REPLACE VIEW posterior AS
WITH w AS (
  SELECT draw, exp(log_weight - max(log_weight) OVER ()) AS w
  FROM draws WHERE status = 'ok' AND isfinite(log_weight)
)
SELECT s.name, s.draw, s.value, w.w / (SELECT sum(w) FROM w) AS weight
FROM sites s JOIN w USING (draw)
WHERE s.name <> '' AND s.role <> 'observe' AND s.value IS NOT NULL;
