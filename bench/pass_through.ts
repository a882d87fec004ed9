/**
 * A proxy with nothing of Dispa but the transport, or with `fetch` in its place: what one forwarded request
 * costs before any rule, log or metric.
 *
 *     deno run -A bench/pass_through.ts http1|fetch PORT UPSTREAM_PORT
 */
import type { TargetConfig } from "../src/config/model.ts";
import { removeHopByHop } from "../src/upstream/hop_by_hop.ts";
import { Http1Pool } from "../src/upstream/http1_pool.ts";
import type { FlatHeaders } from "../src/http/flat_headers.ts";
import { AbortHandle } from "../src/upstream/transport.ts";

type Mode = "http1" | "fetch";

function passThrough(mode: Mode, upstreamPort: number): (request: Request) => Response | Promise<Response> {
  const target: TargetConfig = {
    name: "bench",
    url: `http://127.0.0.1:${upstreamPort}`,
    protocol: "http",
    hostname: "127.0.0.1",
    port: upstreamPort,
    basePath: "",
    group: null,
    weight: 1,
    timeoutMs: null,
    maxConnections: null,
    backup: false,
  };
  if (mode === "fetch") {
    return (request) =>
      fetch(target.url + request.url.slice(request.url.indexOf("/", 8)), {
        method: request.method,
        headers: request.headers,
        body: request.body,
        redirect: "manual",
      });
  }
  const pool = new Http1Pool({ poolMaxIdlePerHost: 1024, poolIdleTimeoutMs: 90_000 });
  return async (request) => {
    const headers: FlatHeaders = [];
    let bodyLength: number | null = null;
    for (const [name, value] of request.headers) {
      if (name === "content-length") bodyLength = Number(value);
      else headers.push(name, value);
    }
    const response = await pool.send({
      target,
      method: request.method,
      path: request.url.slice(request.url.indexOf("/", 8)),
      headers: removeHopByHop(headers),
      body: request.body,
      bodyLength,
      abort: new AbortHandle(),
      observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
      connectTimeoutMs: 5000,
      timeoutMs: 30_000,
    });
    const pairs: [string, string][] = [];
    for (let i = 0; i < response.headers.length; i += 2) {
      pairs.push([response.headers[i], response.headers[i + 1]]);
    }
    return new Response(response.body, { status: response.status, headers: pairs });
  };
}

const [mode, port, upstreamPort] = Deno.args;
if (mode !== "http1" && mode !== "fetch") throw new Error(`mode is "${mode}", allowed are http1 and fetch`);
Deno.serve(
  { hostname: "127.0.0.1", port: Number(port), onListen: () => {} },
  passThrough(mode, Number(upstreamPort)),
);
