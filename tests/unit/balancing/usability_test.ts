/** Which targets take requests: circuits and their cap, trials, backups. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { CircuitState } from "../../../src/balancing/circuit_table.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetState, TargetTable } from "../../../src/balancing/target_table.ts";
import { standings, type Unusable } from "../../../src/balancing/usability.ts";
import { targetConfig } from "./fixture.ts";

const NOW = 1_700_000_000_000;

interface Spec {
  backup?: boolean;
  state?: TargetState;
  draining?: boolean;
  /** Seconds ago that the circuit was opened. */
  openedAgo?: number;
  /** Trials left of a half-open circuit. */
  trials?: number;
}

function targetsOf(specs: readonly Spec[]) {
  const table = new TargetTable();
  const targets = new SlotAllocator(table).assign(
    specs.map(({ backup = false }, index) => ({ ...targetConfig(`t${index}`), backup })),
  );
  specs.forEach((spec, index) => {
    const { slot } = targets[index];
    if (spec.state !== undefined) table.setState(slot, spec.state);
    if (spec.draining) table.setDraining(slot, true);
    if (spec.openedAgo === undefined) return;
    table.circuits.open(slot, CircuitState.Closed, 1000, 1, NOW - spec.openedAgo * 1000);
    if (spec.trials !== undefined) table.circuits.halfOpen(slot, spec.trials, NOW);
  });
  return { table, targets };
}

/** `+` for a target in use, `?` for one on trial, else why it is not used. */
function seen(specs: readonly Spec[], maxEjectedPercent: number | null = 50): string[] {
  const { table, targets } = targetsOf(specs);
  return standings(targets, table, maxEjectedPercent, NOW)
    .map(({ unusable, onTrial }) => unusable ?? (onTrial ? "?" : "+"));
}

Deno.test("an open circuit takes a target out, a half-open one as long as it has no trials left", () => {
  const specs = [{}, { openedAgo: 1 }, { openedAgo: 1, trials: 2 }, { openedAgo: 1, trials: 0 }, {}, {}];
  assert.deepEqual(seen(specs), ["+", "circuit_open", "?", "trials", "+", "+"]);
});

Deno.test("circuits play no part while they are switched off", () => {
  assert.deepEqual(seen([{ openedAgo: 1 }, { openedAgo: 1, trials: 0 }], null), ["+", "+"]);
});

Deno.test("no more than the cap are ejected, and those that were opened last stay in use", () => {
  const specs = [{ openedAgo: 3 }, { openedAgo: 1 }, { openedAgo: 4 }, { openedAgo: 2 }];
  assert.deepEqual(seen(specs, 50), ["circuit_open", "+", "circuit_open", "+"]);
  assert.deepEqual(seen(specs, 74), ["circuit_open", "+", "circuit_open", "+"]);
  assert.deepEqual(seen(specs, 75), ["circuit_open", "+", "circuit_open", "circuit_open"]);
  assert.deepEqual(seen(specs, 0), ["+", "+", "+", "+"]);
  assert.deepEqual(seen(specs, 100), Array(4).fill("circuit_open"));
});

Deno.test("targets on trial count as ejected, and those beyond the cap need no trial", () => {
  assert.deepEqual(seen([{ openedAgo: 2, trials: 1 }, { openedAgo: 1, trials: 0 }]), ["?", "+"]);
  assert.deepEqual(seen([{ openedAgo: 2, trials: 1 }]), ["+"]);
});

Deno.test("a single target is never ejected unless all may be", () => {
  assert.deepEqual(seen([{ openedAgo: 1 }], 99), ["+"]);
  assert.deepEqual(seen([{ openedAgo: 1 }], 100), ["circuit_open"]);
});

Deno.test("the unhealthy and drained don't count as members that may be ejected", () => {
  const specs = [{ openedAgo: 1 }, {}, { state: TargetState.Unhealthy }, { draining: true }];
  assert.deepEqual(seen(specs, 50), ["circuit_open", "+", "unhealthy", "draining"]);
  assert.deepEqual(seen(specs, 49), ["+", "+", "unhealthy", "draining"]);
});

Deno.test("backups wait until every other target is unhealthy, drained, or out by its circuit", () => {
  const backup = { backup: true };
  assert.deepEqual(seen([{}, { state: TargetState.Unhealthy }, backup]), ["+", "unhealthy", "backup"]);
  assert.deepEqual(seen([{ draining: true }, { state: TargetState.Unhealthy }, backup]), [
    "draining",
    "unhealthy",
    "+",
  ]);
  assert.deepEqual(seen([{ openedAgo: 1 }, { openedAgo: 2 }, backup, backup]), [
    "circuit_open",
    "circuit_open",
    "+",
    "+",
  ]);
  assert.deepEqual(seen([{ openedAgo: 1, trials: 1 }, { openedAgo: 2 }, backup]), [
    "+",
    "circuit_open",
    "backup",
  ]);
});

Deno.test("a backup that is out itself does not keep the others out", () => {
  const specs = [{ openedAgo: 1 }, { openedAgo: 2 }, { backup: true, openedAgo: 3 }];
  assert.deepEqual(seen(specs), ["+", "circuit_open", "circuit_open"]);
  assert.deepEqual(seen([{ state: TargetState.Unhealthy }, { backup: true, openedAgo: 1 }]), [
    "unhealthy",
    "+",
  ]);
});

Deno.test("whatever happens to targets, some are used as long as one is fit and not all may be ejected", () => {
  const spec = fc.record({
    backup: fc.boolean(),
    state: fc.constantFrom(...Object.values(TargetState)),
    draining: fc.boolean(),
    openedAgo: fc.option(fc.nat(50), { nil: undefined }),
    trials: fc.option(fc.nat(2), { nil: undefined }),
  });
  fc.assert(fc.property(
    fc.array(spec, { minLength: 1, maxLength: 10 }),
    fc.option(fc.integer({ min: 0, max: 100 })),
    (specs, percent) => {
      const { table, targets } = targetsOf(specs);
      const result = standings(targets, table, percent, NOW);
      assert.deepEqual(result.map(({ target }) => target), targets, "one for each, in their order");
      const used = result.filter(({ unusable }) => unusable === null);
      const fit = result.filter(({ target }) => table.isUsable(target.slot));
      if (percent !== 100) assert.equal(used.length > 0, fit.length > 0);
      const isEjected = (why: Unusable | null) => why === "circuit_open" || why === "trials";
      for (const { target, unusable, onTrial } of result) {
        if (!table.isUsable(target.slot)) assert.ok(unusable === "unhealthy" || unusable === "draining");
        if (percent === null) assert.ok(!onTrial && !isEjected(unusable));
        if (onTrial) assert.equal(unusable, null);
      }
      // Primary targets are all out together only if backups take their place.
      const primaries = fit.filter(({ target }) => !target.config.backup);
      const out = primaries.filter(({ unusable, onTrial }) => isEjected(unusable) || onTrial);
      const byBackups = used.some(({ target }) => target.config.backup);
      if (percent !== null && !byBackups) assert.ok(out.length <= primaries.length * percent / 100);
      if (byBackups) assert.ok(primaries.every(({ unusable }) => isEjected(unusable)));
    },
  ));
});
