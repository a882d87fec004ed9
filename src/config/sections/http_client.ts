/** `[http_client]`: how connections to targets are made and kept. */
import type * as z from "zod";
import { choice, field, seconds, table, toSeconds, wholeNumber } from "../fields.ts";
import type { HttpClientConfig } from "../model.ts";

export const httpClientSchema = table({
  transport: field(
    choice("auto", "http1", "fetch").prefault("auto"),
    "How targets are spoken to: http1 directly over sockets, fetch through the runtime's client, auto by the URL.",
  ),
  pool_max_idle_per_host: field(
    wholeNumber(0, 65_535).prefault(32),
    "Most idle connections kept per target; 0 makes a new connection for each request.",
  ),
  pool_idle_timeout_secs: field(
    seconds().prefault(90),
    "Seconds after which an idle connection to a target is closed.",
  ),
  connect_timeout_secs: field(seconds().prefault(5), "Seconds a connection to a target may take to be made."),
});

export function httpClientFromFile(file: z.output<typeof httpClientSchema>): HttpClientConfig {
  return {
    transport: file.transport,
    poolMaxIdlePerHost: file.pool_max_idle_per_host,
    poolIdleTimeoutMs: file.pool_idle_timeout_secs,
    connectTimeoutMs: file.connect_timeout_secs,
  };
}

export function httpClientToFile(client: HttpClientConfig): z.input<typeof httpClientSchema> {
  return {
    transport: client.transport,
    pool_max_idle_per_host: client.poolMaxIdlePerHost,
    pool_idle_timeout_secs: toSeconds(client.poolIdleTimeoutMs),
    connect_timeout_secs: toSeconds(client.connectTimeoutMs),
  };
}
