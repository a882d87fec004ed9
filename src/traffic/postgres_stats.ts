/** Statistics of the PostgreSQL database, in parts that several connections can share. */

import type { Sql, TransactionSql } from "postgres";
import { conditionsOf } from "./conditions.ts";
import { isoTime, type TrafficFilter } from "./filter.ts";
import type { StatsGroup, StatsKey } from "./reader.ts";
import { StatsGroups } from "./stats_groups.ts";

/** About so many matches make a part, which bounds the durations that the server collects and sends at once. */
const PART_ROWS = 250_000;

/** So many pages of the table, taken at random, tell how its rows spread over time; that takes 2 ms. */
const SAMPLED_PAGES = 200;

/** The minute as a number: the functions that make text or times of it take longer than all the rest. */
const KEY_SQL: Record<StatsKey, string> = {
  host: "host",
  target: "coalesce(target, '')",
  status: "status_code",
  minute: "floor(date_part('epoch', logs.timestamp) / 60)",
};

/** A range of times; null for no bound. */
type Part = Pick<TrafficFilter, "sinceMs" | "untilMs">;

interface GroupRow {
  key: string | number;
  requests: number;
  errors: number;
  bytes: number;
  durations: number[];
}

/**
 * The server groups and this side ranks: sorting the durations for `percentile_disc` took twice as long as all the
 * rest. Records that come meanwhile may be counted or not; none is counted twice, as times do not change.
 * @param sql a pool whose connections share the parts
 */
export async function postgresStats(
  sql: Sql,
  connections: number,
  filter: TrafficFilter,
  by: StatsKey | null,
  partRows = PART_ROWS,
): Promise<StatsGroup[]> {
  const groups = new StatsGroups();
  const parts = await partsOf(sql, filter, partRows);
  await Promise.all(Array.from({ length: Math.min(connections, parts.length) }, async () => {
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      const query = statsQuery({ ...filter, ...part }, by);
      for (const row of await sql.begin("READ ONLY", (transaction) => ask(transaction, query))) add(row);
    }
  }));
  return groups.result();

  function add({ key, requests, errors, bytes, durations }: GroupRow): void {
    const group = groups.of(by === "minute" ? isoTime(Number(key) * 60_000).slice(0, 16) : String(key));
    group.requests += requests;
    group.errors += errors;
    group.bytes += bytes;
    for (const durationUs of durations) group.durations.addMicroseconds(durationUs);
  }
}

async function ask(
  sql: TransactionSql,
  { text, values }: { text: string; values: (string | number)[] },
): Promise<GroupRow[]> {
  // Hashed where it fits: sorting is slower. And compiling the query takes longer than running it.
  await sql`SELECT set_config(name, setting, true) FROM (VALUES ('work_mem', '64MB'), ('jit', 'off'))
    AS wanted (name, setting) WHERE name IN (SELECT name FROM pg_settings)`;
  return await sql.unsafe<GroupRow[]>(text, values);
}

function statsQuery(filter: TrafficFilter, by: StatsKey | null) {
  const { sql, values } = conditionsOf(filter, (index) => `$${index}`);
  // json_agg's text is read as it comes, where an array's would be taken apart character by character.
  const text = `SELECT ${by === null ? "''" : KEY_SQL[by]} AS key, count(*)::float8 AS requests,
      (count(*) FILTER (WHERE status_code >= 500 OR error_message IS NOT NULL))::float8 AS errors,
      sum(request_size + response_size)::float8 AS bytes,
      json_agg((least(duration_ms, 1e12) * 1000)::bigint) AS durations
    FROM traffic_logs AS logs WHERE ${sql} GROUP BY 1`;
  return { text, values };
}

/** Ranges of time with about as many matches each, within the filter's own. */
async function partsOf(sql: Sql, filter: TrafficFilter, partRows: number): Promise<Part[]> {
  const [{ pages }] = await sql`SELECT (pg_relation_size('traffic_logs') /
    current_setting('block_size')::bigint)::float8 AS pages`;
  const share = Math.min(SAMPLED_PAGES / Math.max(pages, 1), 1);
  const { sql: condition, values } = conditionsOf(filter, (index) => `$${index}`);
  const sample = await sql.unsafe<{ time: number }[]>(
    `SELECT (date_part('epoch', timestamp) * 1000)::float8 AS time
     FROM traffic_logs TABLESAMPLE SYSTEM (${100 * share}) WHERE ${condition} ORDER BY 1`,
    values,
  );
  const count = Math.max(Math.round(sample.length / share / partRows), 1);
  const bounds = new Set<number>();
  for (let index = 1; index < count; index++) {
    bounds.add(Math.round(sample[Math.floor(index * sample.length / count)].time));
  }
  const edges = [filter.sinceMs, ...bounds, filter.untilMs];
  return edges.slice(1).map((edge, index) => ({ sinceMs: edges[index], untilMs: edge }));
}
