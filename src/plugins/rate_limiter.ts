/** `type = "ratelimiter"`: refuses requests that come too often, counted by a key of the configuration's choice. */
import type { RateLimiterKey, RateLimiterSettings } from "../config/plugins/rate_limiter.ts";
import { fieldValues } from "../http/flat_headers.ts";
import type { RequestMessage } from "../http/message.ts";
import { networkKey } from "../security/client_address.ts";
import { TokenBuckets } from "../security/token_buckets.ts";
import { tooManyRequests } from "../security/too_many_requests.ts";
import type { Plugin, PluginResult, PluginType } from "./plugin.ts";

/** 57,344 buckets, 1 MiB, of which the system gives out only what is touched. */
const SETS = 8192;

export const rateLimiter: PluginType<RateLimiterSettings> = {
  sharedBytes: ({ key }) => TokenBuckets.bytes(setsFor(key)),

  create(settings, { shared }): Plugin {
    if (shared === null) throw new TypeError("cannot limit rates without memory that all threads share");
    const { rate_per_sec: ratePerSec, burst = Math.max(1, ratePerSec), key } = settings;
    const buckets = new TokenBuckets(shared, { ratePerSec, burst, sets: setsFor(key) });
    const keyOf = keyReader(key);
    // A route may name the plugin once more: what its earlier runs would have taken of each bucket.
    const foreseen = new WeakMap<RequestMessage, Map<string, number>>();
    return {
      onRequest: (request) => answer(buckets.take(keyOf(request))),
      explain(request) {
        let taken = foreseen.get(request);
        if (taken === undefined) foreseen.set(request, taken = new Map());
        const bucket = keyOf(request);
        const before = taken.get(bucket) ?? 0;
        taken.set(bucket, before + 1);
        return answer(buckets.peek(bucket, before));
      },
    };
  },
};

function setsFor(key: RateLimiterKey): number {
  return key.by === "global" ? 1 : SETS;
}

function answer(waitMs: number): PluginResult {
  return waitMs === 0 ? null : tooManyRequests(waitMs);
}

function keyReader(key: RateLimiterKey): (request: RequestMessage) => string {
  switch (key.by) {
    case "global":
      return () => "";
    case "ip":
      return ({ clientIp }) => networkKey(clientIp);
    case "host":
      return ({ host }) => host;
    case "path":
      return ({ path }) => path;
    case "header":
      // Two fields with one value each mean the same as one with both (RFC 9110 section 5.3).
      return ({ headers }) => fieldValues(headers, key.name).join(", ");
  }
}
