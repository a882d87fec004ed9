import assert from "node:assert/strict";
import fc from "fast-check";
import type { RetryConfig } from "../../../src/config/model.ts";
import { type Attempt, RetryPolicy, type RetryVerdict } from "../../../src/retry/policy.ts";

const OFF: RetryConfig = {
  enabled: false,
  attempts: 5,
  onCauses: ["connect", "reset", "timeout"],
  onStatuses: [503],
  methods: ["GET", "PUT"],
  perTryTimeoutMs: null,
  totalTimeoutMs: 10_000,
  maxBodyBytes: 1000,
  backoff: { baseMs: 100, maxMs: 300 },
  budget: { percent: 20, minPerSecond: 3 },
};
const ON: RetryConfig = { ...OFF, enabled: true };

const SENT = {
  method: "GET",
  attempt: 1,
  failure: { code: "reset", sent: true },
  bodyReplayable: true,
  elapsedMs: 0,
};
const refused = { code: "connect_refused", sent: false };

function verdict(config: RetryConfig, attempt: Partial<Attempt>, random = 0.5): RetryVerdict {
  return new RetryPolicy(config, () => random).shouldRetry({ ...SENT, ...attempt });
}

/** `retry` or why not. */
function outcome(config: RetryConfig, attempt: Partial<Attempt>): string {
  const result = verdict(config, attempt);
  return result.retry ? "retry" : result.why;
}

Deno.test("without [retry] only what no target can have seen is tried again, at once, on three targets at the most", () => {
  for (const method of ["GET", "POST"]) {
    for (const bodyReplayable of [true, false]) {
      const attempt = { method, bodyReplayable, failure: refused, elapsedMs: 60_000 };
      assert.deepEqual(verdict(OFF, { ...attempt, attempt: 1 }), { retry: true, delayMs: 0 });
      assert.deepEqual(verdict(OFF, { ...attempt, attempt: 2 }), { retry: true, delayMs: 0 });
      assert.equal(outcome(OFF, { ...attempt, attempt: 3 }), "attempts");
    }
  }
  assert.equal(outcome(OFF, { failure: { code: "reset", sent: false } }), "retry");
  assert.equal(outcome(OFF, { failure: { code: "tls", sent: false } }), "retry");
  assert.equal(outcome(OFF, { failure: { code: "reset", sent: true } }), "cause");
  assert.equal(outcome(OFF, { failure: { status: 503 } }), "cause");
});

Deno.test("what no target can have seen is tried again whatever the method and the body, and `on`", () => {
  const attempt = { method: "POST", bodyReplayable: false, failure: refused };
  assert.deepEqual(verdict({ ...ON, onCauses: [] }, attempt), { retry: true, delayMs: 0 });
  assert.equal(outcome(ON, { ...attempt, attempt: 5 }), "attempts");
});

Deno.test("what a target may have seen is tried again if its method allows that and its body was kept", () => {
  assert.equal(outcome(ON, {}), "retry");
  assert.equal(outcome(ON, { method: "POST" }), "method");
  assert.equal(outcome(ON, { method: "get" }), "method", "methods are case-sensitive");
  assert.equal(outcome(ON, { method: "PUT", bodyReplayable: false }), "body");
  assert.equal(outcome({ ...ON, methods: ["POST"] }, { method: "POST" }), "retry");
});

Deno.test("only the causes and statuses of `on` are tried again", () => {
  const sent = (code: string) => ({ failure: { code, sent: true } });
  assert.equal(outcome(ON, sent("upstream_timeout")), "retry");
  assert.equal(outcome(ON, sent("bad_response")), "cause");
  assert.equal(outcome({ ...ON, onCauses: ["bad_response"] }, sent("bad_response")), "retry");
  assert.equal(outcome({ ...ON, onCauses: [] }, sent("reset")), "cause");
  assert.equal(outcome(ON, { failure: { status: 503 } }), "retry");
  assert.equal(outcome(ON, { failure: { status: 502 } }), "cause");
  assert.deepEqual([503, 502].map((status) => new RetryPolicy(ON).triesAgainOn(status)), [true, false]);
  assert.equal(new RetryPolicy(OFF).triesAgainOn(503), false);
});

Deno.test("a client that left, or sent what cannot be forwarded, is not tried again", () => {
  for (const code of ["client_gone", "bad_request"]) {
    for (const sent of [true, false]) {
      for (const config of [ON, OFF]) assert.equal(outcome(config, { failure: { code, sent } }), "cause");
    }
  }
});

Deno.test("no attempt begins after the total time, the pause before it included", () => {
  assert.equal(outcome(ON, { elapsedMs: 9948 }), "retry");
  assert.equal(outcome(ON, { elapsedMs: 9949 }), "time");
  assert.equal(outcome(ON, { failure: refused, elapsedMs: 9998 }), "retry");
  assert.equal(outcome(ON, { failure: refused, elapsedMs: 9999 }), "time");
});

Deno.test("the pause is a random part of one that doubles up to the most", () => {
  const delay = (attempt: number, random: number) => {
    const result = verdict({ ...ON, attempts: 10 }, { attempt }, random);
    return result.retry ? result.delayMs : NaN;
  };
  assert.deepEqual([1, 2, 3, 9].map((attempt) => delay(attempt, 0.5)), [50, 100, 150, 150]);
  assert.deepEqual([0, 0.25].map((random) => delay(1, random)), [0, 25]);
});

Deno.test("one attempt has its own time, and never more than what is left", () => {
  assert.equal(new RetryPolicy(ON).attemptTimeoutMs(0), null);
  const policy = new RetryPolicy({ ...ON, perTryTimeoutMs: 4000 });
  assert.deepEqual([0, 6000, 7000, 10_000, 20_000].map((elapsed) => policy.attemptTimeoutMs(elapsed)), [
    4000,
    4000,
    3000,
    1,
    1,
  ]);
  assert.equal(new RetryPolicy({ ...OFF, perTryTimeoutMs: 4000 }).attemptTimeoutMs(0), null);
});

Deno.test("a body is kept only where that can be of use", () => {
  const keeps = (
    config: Partial<RetryConfig>,
    method = "PUT",
    length: number | null = null,
    isReadEarly = false,
  ) => new RetryPolicy({ ...ON, ...config }).keepsBody(method, length, isReadEarly);
  assert.equal(keeps({}), true);
  assert.equal(keeps({}, "PUT", 1000), true);
  assert.equal(keeps({}, "PUT", 1001), false);
  assert.equal(keeps({}, "POST"), false);
  assert.equal(keeps({ enabled: false }), false);
  assert.equal(keeps({ attempts: 1 }), false);
  assert.equal(keeps({ maxBodyBytes: 0 }), false);
});

Deno.test("a body that is read before there is a connection is kept whatever the method, for failures to connect", () => {
  const keeps = (config: RetryConfig, length: number | null) =>
    new RetryPolicy(config).keepsBody("POST", length, true);
  for (const config of [ON, OFF]) {
    assert.equal(keeps(config, 1000), true);
    assert.equal(keeps(config, 1001), false);
    assert.equal(keeps({ ...config, maxBodyBytes: 0 }, null), false);
    const touched = { method: "POST", failure: { code: "connect_refused", sent: true } };
    assert.equal(outcome(config, touched), "retry");
    assert.notEqual(outcome(config, { ...touched, bodyReplayable: false }), "retry");
  }
  assert.equal(keeps({ ...ON, attempts: 1 }, 1000), false);
});

Deno.test("whatever happens, nothing that a target may have seen is sent again against the rules", () => {
  const attempts = fc.record({
    method: fc.constantFrom("GET", "POST", "PUT", "PATCH"),
    attempt: fc.integer({ min: 1, max: 12 }),
    failure: fc.oneof(
      fc.record({ status: fc.integer({ min: 200, max: 599 }) }),
      fc.record({
        code: fc.constantFrom(
          "reset",
          "upstream_timeout",
          "bad_response",
          "connect_refused",
          "client_gone",
          "odd",
        ),
        sent: fc.boolean(),
      }),
    ),
    bodyReplayable: fc.boolean(),
    elapsedMs: fc.integer({ min: 0, max: 12_000 }),
  });
  const configs = fc.record({
    enabled: fc.boolean(),
    attempts: fc.integer({ min: 1, max: 10 }),
    methods: fc.subarray(["GET", "POST", "PUT"]),
    onCauses: fc.subarray(["connect", "reset", "timeout", "bad_response"] as const),
  });
  fc.assert(
    fc.property(
      configs,
      attempts,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (some, attempt, random) => {
        const config = { ...ON, ...some };
        const result = verdict(config, attempt, random);
        if (!result.retry) return;
        assert.ok(attempt.attempt < (config.enabled ? config.attempts : 3));
        assert.ok(result.delayMs >= 0 && result.delayMs <= config.backoff.maxMs);
        const unseen = "code" in attempt.failure &&
          (!attempt.failure.sent || attempt.failure.code === "connect_refused" && attempt.bodyReplayable);
        if (unseen) return;
        assert.ok(config.enabled && config.methods.includes(attempt.method) && attempt.bodyReplayable);
        assert.ok(attempt.elapsedMs + result.delayMs < config.totalTimeoutMs);
      },
    ),
  );
});
