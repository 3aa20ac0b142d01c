-- DuckDB views of a run directory. In the folder:  duckdb -init views.sql
CREATE OR REPLACE VIEW draws AS SELECT * FROM read_parquet('draws/*.parquet');
CREATE OR REPLACE VIEW addresses AS SELECT * FROM read_parquet('addresses/*.parquet');

-- Every statement with its address. While a run is being written, draws says which rows are complete. A row that is the same as another has
-- its statements.
CREATE OR REPLACE VIEW sites AS
SELECT d.row, s.* EXCLUDE ("row"), a.base, a.role, a.kind, d.log_weight
FROM read_parquet('sites/*.parquet') s
JOIN (SELECT DISTINCT id, base, role, kind FROM addresses) a ON a.id = s.address
JOIN draws d ON s.row = coalesce(d.same_as, d.row);

-- The weights of traces, relative to the largest. Log weights are two numbers, which together have twice the digits.
CREATE OR REPLACE VIEW weights AS
WITH good AS (SELECT * FROM draws WHERE status = 'ok' AND isfinite(log_weight)),
largest AS (SELECT log_weight AS w, log_weight_rest AS r FROM good ORDER BY log_weight DESC, log_weight_rest DESC LIMIT 1)
SELECT d.row, exp((d.log_weight - largest.w) + (d.log_weight_rest - largest.r)) AS weight FROM good d, largest;

-- The elements of all named values, and of the results, in the order of the table that "ppx summary" prints; larger tensors are left out.
-- The k-th statement of a name in its trace is name@k; elements of tensors have subscripts.
CREATE OR REPLACE VIEW variables AS
WITH counted AS (
  SELECT *, row_number() OVER (PARTITION BY "row", name ORDER BY "index") AS k FROM sites WHERE name <> ''
), quantities AS (
  SELECT "row", "index" AS pos, name, k, value, "values", shape FROM counted WHERE (role <> 'observe' OR origin NOT IN ('data', 'own')) AND kind <> 'Factor'
  UNION ALL
  SELECT d.row, 2147483647, 'result', (SELECT coalesce(max(k), 0) FROM counted WHERE name = 'result') + 1, result, results, result_shape
  FROM draws d WHERE d.status = 'ok'
), present AS (
  SELECT *, CASE WHEN value IS NOT NULL THEN [value] ELSE "values" END AS elements,
    name || CASE WHEN k = 1 AND NOT regexp_matches(name, '(?s)^.+@0*[1-9][0-9]{0,8}$|(?s)\[[0-9]+(,[0-9]+)*\]$') THEN '' ELSE '@' || k END AS label
  FROM quantities WHERE value IS NOT NULL OR len("values") > 0 OR list_contains(shape, 0)
), named AS (
  SELECT *, bool_or(len(elements) <> 1) OVER (PARTITION BY name, k) AS tensor,
    min("row" * 4294967296::HUGEINT + pos) OVER (PARTITION BY name, k) + CASE WHEN pos = 2147483647 THEN 1::HUGEINT << 100 ELSE 0 END AS seq
  FROM present
), single AS (
  SELECT "row", label, tensor, seq, shape, unnest(elements) AS value, generate_subscripts(elements, 1) - 1 AS element
  FROM named WHERE len(elements) BETWEEN 1 AND 100
)
SELECT label || CASE WHEN NOT tensor THEN '' WHEN len(shape) = 0 THEN '[0]' ELSE
    '[' || array_to_string(list_transform(range(1, len(shape) + 1), lambda d:
      (element // coalesce(list_product(shape[d + 1:]), 1)::BIGINT) % shape[d]), ',') || ']' END AS name,
  "row", value, seq, element
FROM single;

-- Variables with the weights of their traces: of each variable, among the traces that have it as a finite number, they sum to 1.
CREATE OR REPLACE VIEW posterior AS
SELECT v.name, v.row, v.value, w.weight / sum(w.weight) OVER (PARTITION BY v.name) AS weight, w.weight AS relative_weight, v.seq, v.element
FROM variables v JOIN weights w USING ("row") WHERE isfinite(v.value);

-- The table that "ppx summary" prints: present is the share of the weight that has the variable, the rest is of its finite values.
CREATE OR REPLACE VIEW summary AS
WITH listed AS (
  SELECT v.name, min(v.seq) AS seq, min(v.element) AS element, sum(coalesce(w.weight, 0)) / (SELECT sum(weight) FROM weights) AS present
  FROM variables v LEFT JOIN weights w USING ("row") GROUP BY v.name
), moments AS (
  SELECT name, sum(weight * value) AS mean, 1 / sum(weight * weight) AS ess, count(*) AS traces FROM posterior GROUP BY name
), spread AS (
  SELECT name, sqrt(sum(weight * (value - mean) * (value - mean))) AS sd FROM posterior JOIN moments USING (name) GROUP BY name
)
SELECT name, present, mean, sd, ess, traces FROM listed LEFT JOIN moments USING (name) LEFT JOIN spread USING (name) ORDER BY seq, element;
