/** What every policy promises, with sticky sessions and without. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { BalancedTarget } from "../../../src/balancing/balancer.ts";
import { MAX_TARGETS, TargetState } from "../../../src/balancing/target_table.ts";
import type { BalancingType } from "../../../src/config/model.ts";
import { balance, seededRandom } from "./fixture.ts";

const TYPES: BalancingType[] = ["roundrobin", "weighted", "random", "leastconnections"];
const POLICIES = TYPES.flatMap((type) => [{ type, sticky: false }, { type, sticky: true }]);

for (const { type, sticky } of POLICIES) {
  const policy = sticky ? `sticky ${type}` : type;
  const options = { type, sticky, random: seededRandom(7) };

  Deno.test(`${policy}: without targets nothing is acquired`, () => {
    assert.equal(balance([], options).balancer.acquire("192.0.2.1"), null);
  });

  Deno.test(`${policy}: a single target gets every request`, () => {
    const { balancer, targets } = balance([2.5], options);
    for (let request = 0; request < 5; request++) {
      assert.equal(balancer.acquire(`192.0.2.${request}`), targets[0]);
    }
  });

  Deno.test(`${policy}: nothing is acquired while no target is usable, and again once one is`, () => {
    const { balancer, table, targets } = balance([1, 1], options);
    table.setState(targets[0].slot, TargetState.Unhealthy);
    table.setDraining(targets[1].slot, true);
    assert.equal(balancer.acquire("192.0.2.1"), null);
    table.setState(targets[0].slot, TargetState.Healthy);
    assert.equal(balancer.acquire("192.0.2.1"), targets[0]);
  });

  Deno.test(`${policy}: only usable, not excluded targets come, counted in until released`, () => {
    const target = fc.record({
      weight: fc.double({ min: 0.001, max: 50, noNaN: true }),
      state: fc.constantFrom(...Object.values(TargetState)),
      draining: fc.boolean(),
      excluded: fc.boolean(),
    });
    const change = fc.tuple(fc.nat(), fc.constantFrom(...Object.values(TargetState)));
    fc.assert(fc.property(
      fc.array(target, { minLength: 1, maxLength: 12 }),
      fc.array(change, { maxLength: 4 }),
      (specs, changes) => {
        const { balancer, table, own, targets } = balance(specs.map((spec) => spec.weight), options);
        specs.forEach((spec, index) => {
          table.setState(targets[index].slot, spec.state);
          table.setDraining(targets[index].slot, spec.draining);
        });
        const exclude = new Set(
          targets.filter((_, index) => specs[index].excluded).map((target) => target.slot),
        );
        const held: BalancedTarget[] = [];
        for (const [which, state] of [[0, specs[0].state] as const, ...changes]) {
          table.setState(targets[which % targets.length].slot, state);
          for (let request = 0; request < 20; request++) {
            const target = balancer.acquire(`192.0.2.${request}`, exclude);
            const allowed = targets.filter(({ slot }) => table.isUsable(slot) && !exclude.has(slot));
            if (target === null) assert.deepEqual(allowed, []);
            else {
              assert.ok(allowed.includes(target), `${target.config.name} must not be used`);
              held.push(target);
            }
          }
        }
        for (const { slot } of targets) {
          const count = held.filter((target) => target.slot === slot).length;
          assert.equal(table.active(slot), count);
          assert.equal(own[slot], count);
        }
        held.forEach((target) => balancer.release(target));
        for (const { slot } of targets) {
          assert.equal(table.active(slot), 0);
          assert.equal(own[slot], 0);
        }
      },
    ));
  });

  Deno.test(`${policy}: retries go once to every other target, then to none`, () => {
    const { balancer, targets } = balance([1, 5, 0.5, 3], options);
    const tried = new Set<number>();
    for (const _ of targets) {
      const target = balancer.acquire("192.0.2.1", tried);
      assert.ok(target !== null && !tried.has(target.slot));
      tried.add(target.slot);
    }
    assert.equal(balancer.acquire("192.0.2.1", tried), null);
  });

  Deno.test(`${policy}: a slot excluded that is not usable anyway excludes nothing else`, () => {
    const { balancer, table, targets } = balance([1, 1], options);
    table.setState(targets[0].slot, TargetState.Unhealthy);
    assert.equal(balancer.acquire("192.0.2.1", new Set([targets[0].slot, 4000])), targets[1]);
  });

  Deno.test(`${policy}: ${MAX_TARGETS} targets are all reached`, () => {
    const { balancer, targets } = balance(Array.from({ length: MAX_TARGETS }, () => 1), options);
    const reached = new Set<number>();
    // Those that go by chance or by client repeat themselves unless told what has been reached.
    for (let request = 0; request < MAX_TARGETS; request++) {
      const exclude = sticky || type === "random" ? reached : undefined;
      const target = balancer.acquire(`10.0.${request >> 8}.${request & 255}`, exclude);
      assert.ok(target !== null);
      reached.add(target.slot);
    }
    assert.equal(reached.size, targets.length);
  });
}
