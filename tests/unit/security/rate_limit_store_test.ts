/** The rate limit with a real Redis server behind it. */
import assert from "node:assert/strict";
import type { SecurityConfig } from "../../../src/config/mod.ts";
import type { Refusal } from "../../../src/http/refusal.ts";
import { rateLimitBytes, type RateLimitStep, rateLimitStep } from "../../../src/security/rate_limit.ts";
import { RateLimitStore } from "../../../src/security/rate_limit_store.ts";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "../../support/ports.ts";
import { type RedisServer, requiresRedis, startRedis } from "../../support/redis.ts";
import { NO_SECURITY } from "./fixture.ts";

const LIMIT = { ratePerSec: 0.01, burst: 3, timeoutMs: 2000 };

/** What a store says of itself, to be waited for. */
class States {
  readonly seen: string[] = [];

  /** Waits until a state has been seen that begins so and comes after the first `after` ones. */
  next(start: string, after = 0): Promise<string> {
    return eventually(
      `a state that begins with "${start}"`,
      () => this.seen.slice(after).find((state) => state.startsWith(start)),
    );
  }
}

/** A store that is closed when `body` is done. */
async function withStore(
  url: string,
  body: (store: RateLimitStore, states: States) => Promise<void>,
  options: Partial<typeof LIMIT> = {},
): Promise<void> {
  const states = new States();
  const store = new RateLimitStore({
    ...LIMIT,
    ...options,
    url,
    onUp() {
      states.seen.push("up");
    },
    onDown(reason) {
      states.seen.push(`down: ${reason}`);
    },
  });
  try {
    await body(store, states);
  } finally {
    await store.close();
  }
}

const redisTest = (name: string, body: (redis: RedisServer) => Promise<void>) =>
  Deno.test({
    name,
    ...requiresRedis(),
    fn: async () => {
      await using redis = await startRedis();
      await body(redis);
    },
  });

redisTest("two stores on one server share one limit, by key, and look without taking", async ({ url }) => {
  await withStore(url, async (one, states) => {
    await states.next("up");
    await withStore(url, async (other, otherStates) => {
      await otherStates.next("up");
      assert.equal(await one.ask("a", false), 0);
      const waits = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : other).ask("a", true)),
      );
      assert.equal(waits.filter((wait) => wait === 0).length, 3);
      for (const wait of waits) assert.ok(wait === 0 || (wait > 99_000 && wait <= 100_000), `${wait}`);
      assert.ok(await other.ask("a", false) > 99_000);
      assert.equal(await other.ask("b", true), 0);
    });
  });
});

redisTest("tokens come back with time, and full buckets take no memory in the server", async (redis) => {
  await withStore(redis.url, async (store, states) => {
    await states.next("up");
    assert.equal(await store.ask("a", true), 0);
    assert.equal(await store.ask("a", true), 0);
    const wait = await store.ask("a", true);
    assert.ok(wait > 0 && wait <= 200, `${wait}`);
    const expires = Number(await redis.command("PTTL", "dispa:rate_limit:a"));
    assert.ok(expires > 0 && expires <= 400, `${expires}`);
    await new Promise((resolve) => setTimeout(resolve, wait));
    assert.equal(await store.ask("a", true), 0);
  }, { ratePerSec: 5, burst: 2 });
});

redisTest("a server that was told to forget its scripts is no obstacle", async (redis) => {
  await withStore(redis.url, async (store, states) => {
    await states.next("up");
    await redis.command("SCRIPT", "FLUSH");
    assert.equal(await store.ask("a", true), 0);
    assert.equal(await store.ask("a", true), 0);
    assert.deepEqual(states.seen, ["up"]);
  });
});

redisTest(
  "a server that hangs is given up after the time-out, and used again when it answers",
  async (redis) => {
    await withStore(redis.url, async (store, states) => {
      await states.next("up");
      redis.signal("SIGSTOP");
      try {
        await assert.rejects(store.ask("a", true), /timed out/);
        assert.equal(store.isUp, false);
        await assert.rejects(store.ask("a", true), /is down/);
        await states.next("down");
      } finally {
        redis.signal("SIGCONT");
      }
      await states.next("up", 1);
      assert.equal(await store.ask("b", true), 0);
    }, { timeoutMs: 200 });
  },
);

redisTest("a server that cannot keep counts is down, and says why", async (redis) => {
  await redis.command("CONFIG", "SET", "maxmemory", "1");
  await withStore(redis.url, async (store, states) => {
    assert.match(await states.next("down"), /OOM/);
    assert.equal(store.isUp, false);
    await redis.command("CONFIG", "SET", "maxmemory", "0");
    await states.next("up");
  });
});

redisTest("a wrong password is said, and is not shown", async ({ port }) => {
  await withStore(`redis://:hunter2@127.0.0.1:${port}`, async (_store, states) => {
    const reason = await states.next("down");
    assert.match(reason, /WRONGPASS/);
    assert.ok(!reason.includes("hunter2"));
  });
});

Deno.test("a store that nobody serves is down, and can be closed while it tries", async () => {
  const port = freePort();
  await withStore(`redis://127.0.0.1:${port}`, async (store, states) => {
    assert.match(await states.next("down"), /ECONNREFUSED/);
    assert.equal(store.isUp, false);
  });
});

Deno.test("a store can be closed before it is connected", async () => {
  await withStore("redis://127.0.0.1:1", async () => {});
});

/** Steps as two proxy threads of one process have them, and what they log. */
async function withSteps(
  url: string,
  body: (steps: RateLimitStep[], logged: States) => Promise<void>,
): Promise<void> {
  const security: SecurityConfig = {
    ...NO_SECURITY,
    rateLimit: { ratePerSec: 0.01, burst: 3, store: url, storeTimeoutMs: 2000 },
  };
  const shared = new SharedArrayBuffer(rateLimitBytes(security));
  const logged = new States();
  const log = (level: string, message: string, fields?: Record<string, unknown>) => {
    logged.seen.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  const steps = [1, 2].map(() => {
    const step = rateLimitStep(security, shared, log);
    assert.ok(step !== null);
    return step;
  });
  try {
    await body(steps, logged);
  } finally {
    await Promise.all(steps.map((step) => step.close()));
  }
}

/** How many of `tries` requests pass, spread over the steps. */
async function passed(steps: RateLimitStep[], clientIp: string, tries: number): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: tries }, (_, i) => steps[i % steps.length].check({ clientIp })),
  );
  return answers.filter((answer: Refusal | null) => answer === null).length;
}

/** Asks until every step has its answers from the store. */
async function untilShared(steps: RateLimitStep[]): Promise<void> {
  await eventually(
    "both steps use the store",
    () => steps.every((step) => step.peek({ clientIp: "::1" }) instanceof Promise),
  );
}

redisTest(
  "while the store is away the process counts by itself, and each change is logged once",
  async (redis) => {
    await withSteps(redis.url, async (steps, logged) => {
      await untilShared(steps);
      assert.equal(await passed(steps, "192.0.2.1", 10), 3);
      assert.equal(await redis.command("EXISTS", "dispa:rate_limit:192.0.2.1"), "1");

      // In flight when the server dies: answered all the same, by the process itself.
      redis.signal("SIGSTOP");
      const waiting = passed(steps, "192.0.2.2", 10);
      await redis.kill();
      assert.equal(await waiting, 3);
      assert.equal(
        await passed(steps, "192.0.2.2", 10),
        0,
        "both threads have one limit without the store, too",
      );
      await logged.next("warn");

      await redis.start();
      await untilShared(steps);
      assert.equal(await passed(steps, "192.0.2.2", 10), 3, "the new server knows of nothing yet");
      const refusal = await steps[0].check({ clientIp: "192.0.2.2" });
      assert.equal(refusal?.denial, "rate_limit");
      assert.equal(refusal?.code, "rate_limited");

      const lines = logged.seen.map((line) => line.slice(0, line.indexOf("{")).trim());
      assert.deepEqual(lines, [
        "warn the store of the rate limit does not work, requests are counted by this process alone",
        "info the store of the rate limit works again",
      ]);
      for (const line of logged.seen) {
        assert.ok(line.includes(`127.0.0.1:${redis.port}/3`) && !line.includes("s3cr3t"), line);
      }
    });
  },
);
