/** `[server]`: the listener for clients, its threads and time-outs. */
import type * as z from "zod";
import { formatSocketAddress, parseSocketAddress } from "../address.ts";
import { field, parsedText, seconds, table, toSeconds, wholeNumber } from "../fields.ts";
import type { ServerConfig } from "../model.ts";

const MAX_WORKERS = 256;

export const serverSchema = table({
  bind_address: field(
    parsedText('an address such as "0.0.0.0:8080"', parseSocketAddress).prefault("0.0.0.0:8080"),
    "Address the proxy listens on: HOST:PORT, [IPV6]:PORT, or :PORT for every IPv4 address. Port 0 takes a free one.",
    { aliases: ["bind"] },
  ),
  workers: field(
    wholeNumber(1, MAX_WORKERS).prefault(() => Math.min(MAX_WORKERS, navigator.hardwareConcurrency)),
    "Number of proxy threads.",
    { defaultNote: "one per CPU core" },
  ),
  keep_alive_timeout: field(
    seconds().prefault(60),
    "Seconds after which a client connection without a request in flight is closed. On a connection that has " +
      "served a request it is also the time for the whole header of the next one.",
  ),
  header_timeout: field(
    seconds().prefault(10),
    "Seconds a client has for the TLS handshake, and then for the whole header of its first request.",
  ),
  request_timeout: field(
    seconds().prefault(30),
    "Longest wait, in seconds, for a target's response header, and longest silence inside a body.",
  ),
  send_timeout: field(
    seconds().prefault(60),
    "Seconds a client may take nothing more of an answer that is ready for it; then the request to the target is " +
      "given up and the connection closed. Answers of up to 64 kB are out of the target's hands at once and have " +
      "keep_alive_timeout.",
  ),
  shutdown_delay: field(
    seconds(0).prefault(0.2),
    "Seconds that a shutdown goes on accepting connections while /ready says 503 already and each answer ends its " +
      "connection, so that load balancers, or the process that takes over the port, get the clients first.",
  ),
  shutdown_timeout: field(
    seconds(0).prefault(30),
    "Seconds a shutdown waits for requests in flight once nothing is accepted any more; then they are ended, with " +
      "503 where no answer has begun. 0 ends them at once.",
  ),
});

export function serverFromFile(file: z.output<typeof serverSchema>): ServerConfig {
  return {
    bind: file.bind_address,
    workers: file.workers,
    keepAliveTimeoutMs: file.keep_alive_timeout,
    headerTimeoutMs: file.header_timeout,
    requestTimeoutMs: file.request_timeout,
    sendTimeoutMs: file.send_timeout,
    shutdownDelayMs: file.shutdown_delay,
    shutdownTimeoutMs: file.shutdown_timeout,
  };
}

export function serverToFile(server: ServerConfig): z.input<typeof serverSchema> {
  return {
    bind_address: formatSocketAddress(server.bind),
    workers: server.workers,
    keep_alive_timeout: toSeconds(server.keepAliveTimeoutMs),
    header_timeout: toSeconds(server.headerTimeoutMs),
    request_timeout: toSeconds(server.requestTimeoutMs),
    send_timeout: toSeconds(server.sendTimeoutMs),
    shutdown_delay: toSeconds(server.shutdownDelayMs),
    shutdown_timeout: toSeconds(server.shutdownTimeoutMs),
  };
}
