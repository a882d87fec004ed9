/** `[security.ddos]`: bounds on what one client, and all of them together, may take. */
import type * as z from "zod";
import { byteCount, closedTable, field, flag, wholeNumber } from "../../fields.ts";
import type { DdosConfig } from "../../model.ts";

const MAX_CONNECTIONS = 1_000_000;

export const ddosSchema = closedTable({
  max_headers: field(
    wholeNumber(1, 10_000).prefault(100),
    "Most fields in the header of a request; fields of one name count as one. More are answered with 431. The " +
      "runtime has bounds of its own, and there is no record of what it refuses: on HTTP/1.1 128 lines (Deno 2.6: " +
      "100), so that larger values have an effect on HTTP/2 only.",
  ),
  max_header_bytes: field(
    byteCount(256, 1_048_576).prefault(32_768),
    "Largest header of a request in bytes: the names and values of all fields and four bytes for each. A larger " +
      "one is answered with 431. The runtime has bounds of its own, and there is no record of what it refuses: " +
      "about 64 kB on HTTP/1.1 (Deno 2.6: 400), and on HTTP/2 16 kB, for which each field counts 32 bytes more.",
  ),
  max_body_bytes: field(
    byteCount(0, Number.MAX_SAFE_INTEGER).prefault(0),
    "Largest body of a request in bytes, 0 for any size. A longer declared length is answered with 413 before " +
      "anything of it is read; a body without one is cut off as soon as it has grown over this.",
  ),
  require_content_length: field(
    flag().prefault(false),
    "Whether a body must declare its length; others are answered with 411. HTTP/2 clients and uploads of unknown " +
      "size often do not.",
  ),
  max_connections: field(
    wholeNumber(0, MAX_CONNECTIONS).prefault(20_000),
    "Most client connections open at a time, over all threads and both ports; 0 for no limit but the number of " +
      "open files (ulimit -n), of which each request needs one more. What comes beyond is closed at once.",
  ),
  max_connections_per_ip: field(
    wholeNumber(0, MAX_CONNECTIONS).prefault(0),
    "Most connections open at a time from one IPv4 address or one IPv6 /64 network, 0 for any number. What comes " +
      "beyond is closed at once. It is the address of the connection that counts: behind another proxy, which " +
      "brings all clients, leave it at 0.",
  ),
  min_body_bytes_per_sec: field(
    byteCount(0, 1_048_576).prefault(50),
    "Slowest that a client may send the body of a request, in bytes a second on average; 0 for any pace. Only the " +
      "time spent waiting for the client counts, and no request is judged before 10 seconds of that.",
  ),
});

export function ddosFromFile(file: z.output<typeof ddosSchema>): DdosConfig {
  return {
    maxHeaders: file.max_headers,
    maxHeaderBytes: file.max_header_bytes,
    maxBodyBytes: file.max_body_bytes,
    requireContentLength: file.require_content_length,
    maxConnections: file.max_connections,
    maxConnectionsPerIp: file.max_connections_per_ip,
    minBodyBytesPerSecond: file.min_body_bytes_per_sec,
  };
}

export function ddosToFile(ddos: DdosConfig): z.input<typeof ddosSchema> {
  return {
    max_headers: ddos.maxHeaders,
    max_header_bytes: ddos.maxHeaderBytes,
    max_body_bytes: ddos.maxBodyBytes,
    require_content_length: ddos.requireContentLength,
    max_connections: ddos.maxConnections,
    max_connections_per_ip: ddos.maxConnectionsPerIp,
    min_body_bytes_per_sec: ddos.minBodyBytesPerSecond,
  };
}
