import assert from "node:assert/strict";
import fc from "fast-check";
import { CircuitState, WindowKind } from "../../../src/balancing/circuit_table.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetTable } from "../../../src/balancing/target_table.ts";
import type { CircuitBreakerConfig } from "../../../src/config/model.ts";
import {
  CircuitBreaker,
  type CircuitChange,
  circuitLine,
  type Outcome,
} from "../../../src/health/circuit_breaker.ts";
import { localTarget } from "./fixture.ts";
import type { ReportOrder } from "./reporting_worker.ts";

const CONFIG: CircuitBreakerConfig = {
  enabled: true,
  consecutiveFailures: 3,
  failureRatio: 0.5,
  slowCallMs: null,
  slowCallRatio: 0.5,
  windowMs: 10_000,
  minRequests: 10,
  failureStatuses: [503],
  openMs: 1000,
  maxOpenMs: 5000,
  halfOpenRequests: 2,
  maxEjectedPercent: 100,
};

function breaker(config: Partial<CircuitBreakerConfig> = {}) {
  const table = new TargetTable();
  const [target, neighbour] = new SlotAllocator(table).assign([localTarget(80, "t"), localTarget(81, "n")]);
  const time = { nowMs: 1_700_000_000_000 };
  const changes: CircuitChange[] = [];
  const make = () =>
    new CircuitBreaker({
      table,
      config: { ...CONFIG, ...config },
      changed: (change) => changes.push(change),
      now: () => time.nowMs,
    });
  const breaker = make();
  return {
    breaker,
    /** As another thread has it. */
    other: make(),
    table,
    target,
    time,
    changes,
    state: () => table.circuits.state(target.slot),
    neighbourState: () => table.circuits.state(neighbour.slot),
    report: (outcomes: string, durationMs = 1) => {
      for (const outcome of outcomes) {
        const meaning: Outcome = outcome === "+" ? "success" : outcome === "-" ? "failure" : "cancelled";
        breaker.report(target, meaning, durationMs);
      }
    },
    pass: (ms: number) => {
      time.nowMs += ms;
      breaker.tick([target, neighbour]);
    },
  };
}

const { Closed, Open, HalfOpen } = CircuitState;

Deno.test("failures in a row open a circuit, those that a success interrupts don't", () => {
  const t = breaker();
  t.report("--+--+-x-");
  assert.equal(t.state(), Closed);
  t.report("-");
  assert.equal(t.state(), Open);
  assert.equal(t.neighbourState(), Closed);
  assert.deepEqual(t.changes, [{
    target: "t",
    from: "closed",
    to: "open",
    reason: "3 requests failed in a row; next trial in 1 s",
  }]);
});

Deno.test("failures that several threads see count together", () => {
  const t = breaker();
  t.breaker.report(t.target, "failure", 1);
  t.other.report(t.target, "failure", 1);
  t.breaker.report(t.target, "failure", 1);
  assert.equal(t.state(), Open);
  assert.equal(t.changes.length, 1);
});

Deno.test("a share of failures within the window opens a circuit, from the least number of requests on", () => {
  const t = breaker({ consecutiveFailures: 0 });
  t.report("-+-+-+-+-");
  assert.equal(t.state(), Closed, "9 requests");
  t.report("-");
  assert.equal(t.state(), Open);
  assert.equal(t.changes[0].reason, "6 of 10 requests within 10 s failed; next trial in 1 s");
});

Deno.test("a share below the limit, or failures older than the window, open nothing", () => {
  const t = breaker({ consecutiveFailures: 0 });
  t.report("+++---+++-");
  assert.equal(t.state(), Closed, "4 of 10");
  const later = breaker({ consecutiveFailures: 0 });
  later.report("-----");
  later.pass(10_000);
  later.report("+++++-");
  assert.equal(later.state(), Closed);
});

Deno.test("a share of slow requests opens a circuit, though they succeed", () => {
  const t = breaker({ consecutiveFailures: 0, failureRatio: 0, slowCallMs: 200 });
  t.report("+++++", 199);
  t.report("++++", 200);
  assert.equal(t.state(), Closed);
  t.report("+", 5000);
  assert.equal(t.state(), Open);
  assert.equal(
    t.changes[0].reason,
    "5 of 10 requests within 10 s took 0.2 s or longer for the response header; next trial in 1 s",
  );
});

Deno.test("an open circuit is half-open after its time, closed after as many good trials as it takes", () => {
  const t = breaker();
  t.report("---");
  t.pass(999);
  assert.equal(t.state(), Open);
  t.pass(1);
  assert.equal(t.state(), HalfOpen);
  assert.equal(t.table.circuits.trials(t.target.slot), 2);
  t.report("+");
  assert.equal(t.state(), HalfOpen);
  t.report("+");
  assert.equal(t.state(), Closed);
  assert.deepEqual(t.changes.map(({ from, to }) => `${from} ${to}`), [
    "closed open",
    "open half_open",
    "half_open closed",
  ]);
  t.report("--");
  assert.equal(t.state(), Closed, "what was before is forgiven");
});

Deno.test("a closed circuit has forgotten the window that opened it", () => {
  const t = breaker({ consecutiveFailures: 0, openMs: 100 });
  t.report("----------");
  t.pass(100);
  t.report("++");
  t.report("-");
  assert.equal(t.state(), Closed);
});

Deno.test("a trial that fails, or is slow, opens the circuit for twice as long, up to the most", () => {
  const t = breaker({ slowCallMs: 300 });
  t.report("---");
  for (
    const [seconds, trial, durationMs] of [[1, "-", 1], [2, "+", 300], [4, "-", 1], [5, "-", 1]] as const
  ) {
    assert.equal(t.table.circuits.openMs(t.target.slot), seconds * 1000);
    t.pass(seconds * 1000 - 1);
    assert.equal(t.state(), Open);
    t.pass(1);
    assert.equal(t.state(), HalfOpen);
    t.report(trial, durationMs);
    assert.equal(t.state(), Open);
  }
  assert.deepEqual(t.changes.filter(({ to }) => to === "open").map(({ reason }) => reason), [
    "3 requests failed in a row; next trial in 1 s",
    "a trial request failed; next trial in 2 s",
    "a trial request took 0.3 s; next trial in 4 s",
    "a trial request failed; next trial in 5 s",
    "a trial request failed; next trial in 5 s",
  ]);
});

Deno.test("a target that relapses soon is out for longer, one that stayed well begins anew", () => {
  const t = breaker();
  t.report("---");
  t.pass(1000);
  t.report("++");
  t.pass(1000);
  t.report("---");
  assert.equal(t.table.circuits.openMs(t.target.slot), 2000);
  t.pass(2000);
  t.report("++");
  t.pass(2001);
  t.report("---");
  assert.equal(t.table.circuits.openMs(t.target.slot), 1000);
});

Deno.test("requests that began before the circuit opened decide nothing about its trials", () => {
  const t = breaker();
  t.report("---");
  t.report("---", 5000);
  assert.equal(t.state(), Open, "while it is open nothing counts");
  t.pass(1000);
  t.report("++--", 1600);
  assert.equal(t.state(), HalfOpen);
  t.pass(400);
  t.report("++", 400);
  assert.equal(t.state(), Closed);
});

Deno.test("a trial that shows nothing is given back", () => {
  const t = breaker();
  t.report("---");
  t.pass(1000);
  const { circuits } = t.table;
  const { slot } = t.target;
  assert.deepEqual([circuits.takeTrial(slot), circuits.takeTrial(slot), circuits.takeTrial(slot)], [
    true,
    true,
    false,
  ]);
  t.report("x");
  assert.equal(circuits.trials(slot), 1);
  t.report("xxx");
  assert.equal(circuits.trials(slot), 2, "no more than there were");
});

Deno.test("trials without a verdict are granted again after the circuit's time", () => {
  const t = breaker();
  t.report("---");
  t.pass(1000);
  const { circuits } = t.table;
  const { slot } = t.target;
  circuits.takeTrial(slot);
  circuits.takeTrial(slot);
  t.pass(999);
  assert.equal(circuits.trials(slot), 0);
  t.pass(1);
  assert.equal(circuits.trials(slot), 2);
  t.report("++", 1000);
  assert.equal(t.state(), Closed);
});

Deno.test("a clock that is set back or forward leaves no target out for longer", () => {
  for (const jumpMs of [-86_400_000, 86_400_000]) {
    const t = breaker();
    t.report("---");
    t.pass(jumpMs);
    assert.equal(t.state(), HalfOpen);
    t.time.nowMs -= jumpMs;
    t.report("++", 5);
    assert.equal(t.state(), Closed);
  }
});

for (
  const [what, config, expected] of [
    ["what real threads report is counted exactly", { consecutiveFailures: 0, minRequests: 1_000_000 }, []],
    ["of real threads exactly one opens the circuit", { consecutiveFailures: 20_000 }, ["open"]],
  ] as const
) {
  Deno.test(what, async () => {
    const t = breaker();
    const order: ReportOrder = {
      tableBuffer: t.table.buffer,
      target: t.target,
      config: { ...CONFIG, failureRatio: 1, minRequests: 1_000_000, ...config },
      nowMs: t.time.nowMs,
      reports: 10_000,
    };
    const workers = [0, 1, 2].map(() =>
      new Worker(new URL("./reporting_worker.ts", import.meta.url), { type: "module" })
    );
    try {
      const changes = await Promise.all(workers.map((worker) =>
        new Promise<string[]>((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = (event) => {
            event.preventDefault();
            reject(new Error(event.message));
          };
          worker.postMessage(order);
        })
      ));
      assert.deepEqual(changes.flat(), expected);
      if (expected.length > 0) return;
      const { circuits } = t.table;
      const period = t.time.nowMs / 1000;
      assert.equal(circuits.failures(t.target.slot), 30_000);
      for (const kind of [WindowKind.Calls, WindowKind.Failures]) {
        assert.equal(circuits.sum(t.target.slot, kind, period), 30_000);
      }
    } finally {
      workers.forEach((worker) => worker.terminate());
    }
  });
}

Deno.test("statuses and errors are the target's failures, or the client's affair", () => {
  const { breaker: { outcomeOfStatus, outcomeOfError } } = { breaker: bound() };
  assert.deepEqual([200, 404, 500, 503].map(outcomeOfStatus), ["success", "success", "success", "failure"]);
  assert.deepEqual(
    ["reset", "connect_refused", "upstream_timeout", "client_gone", "bad_request"].map(outcomeOfError),
    [
      "failure",
      "failure",
      "failure",
      "cancelled",
      "cancelled",
    ],
  );

  function bound() {
    const { breaker: it } = breaker();
    return {
      outcomeOfStatus: (status: number) => it.outcomeOfStatus(status),
      outcomeOfError: (code: string) => it.outcomeOfError(code),
    };
  }
});

Deno.test("a change is a warning where it takes a target out", () => {
  const change = { target: "t", from: "closed", to: "open", reason: "it broke" } as const;
  assert.deepEqual(circuitLine(change), {
    level: "warn",
    message: 'circuit of target "t" is open: it broke',
    fields: change,
  });
  const { level, message } = circuitLine({ ...change, from: "open", to: "half_open" });
  assert.deepEqual([level, message], ["info", 'circuit of target "t" is half-open: it broke']);
});

Deno.test("whatever happens, a circuit changes only along its ways, and stays open for its whole time", () => {
  const step = fc.oneof(
    fc.record({ outcome: fc.constantFrom(..."+-x"), durationMs: fc.integer({ min: 0, max: 500 }) }),
    fc.record({ passMs: fc.integer({ min: 0, max: 3000 }) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const t = breaker({ slowCallMs: 400, consecutiveFailures: 2, minRequests: 5 });
    let openedAt = 0;
    for (const step of steps) {
      const before = t.changes.length;
      if ("passMs" in step) t.pass(step.passMs);
      else t.report(step.outcome, step.durationMs);
      for (const { from, to } of t.changes.slice(before)) {
        assert.ok(
          ["closed open", "open half_open", "half_open open", "half_open closed"].includes(`${from} ${to}`),
        );
        if (to === "open") openedAt = t.time.nowMs;
        if (to === "half_open") {
          assert.ok(t.time.nowMs - openedAt >= t.table.circuits.openMs(t.target.slot));
        }
      }
      t.changes.forEach((change, index) => assert.equal(change.from, t.changes[index - 1]?.to ?? "closed"));
      assert.equal(["closed", "open", "half_open"][t.state()], t.changes.at(-1)?.to ?? "closed");
    }
  }));
});
