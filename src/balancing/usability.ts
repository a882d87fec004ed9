/** Which targets of a group take requests now, and why the others don't: one rule for balancers and reports. */
import { CircuitState } from "./circuit_table.ts";
import type { BalancedTarget } from "./target.ts";
import { TargetState, type TargetTable } from "./target_table.ts";

/**
 * Why a target takes no request: `trials` while a half-open target has had all the requests it may have for
 * now, `backup` while others are there to be used before it.
 */
export type Unusable = "unhealthy" | "draining" | "circuit_open" | "trials" | "backup";

export interface Standing {
  readonly target: BalancedTarget;
  /** Null: it takes requests. */
  readonly unusable: Unusable | null;
  /** Each request must take a trial of the target's half-open circuit first. */
  readonly onTrial: boolean;
}

/**
 * - Unhealthy and drained targets are out. Of the others, those whose circuit is open or half-open are out or
 *   on trial, but no more of them than `maxEjectedPercent` of the group: the ones that were opened last stay
 *   in use.
 * - Backup targets are used when no other target is left; then circuits may take all of the others out.
 *
 * @param maxEjectedPercent 0 to 100; null: circuits play no part
 * @returns in the order of `targets`
 */
export function standings(
  targets: readonly BalancedTarget[],
  table: TargetTable,
  maxEjectedPercent: number | null,
  nowMs: number,
): Standing[] {
  const all = targets.map((target): Standing => {
    const { slot } = target;
    if (table.state(slot) === TargetState.Unhealthy) return { target, unusable: "unhealthy", onTrial: false };
    if (table.isDraining(slot)) return { target, unusable: "draining", onTrial: false };
    return maxEjectedPercent === null ? { target, unusable: null, onTrial: false } : byCircuit(target, table);
  });
  const isBackup = ({ target }: Standing) => target.config.backup;
  const used = (pool: Standing[]) => pool.some(({ unusable }) => unusable === null);
  const primaries = all.filter((standing) => !isBackup(standing));
  const backups = all.filter(isBackup);

  const inUse = (pool: Standing[]) =>
    maxEjectedPercent === null ? pool : withCap(pool, table, maxEjectedPercent, nowMs);
  const chosen = used(primaries)
    ? inUse(primaries)
    : used(backups)
    ? inUse(backups)
    : [inUse(primaries), inUse(backups)].find(used) ?? [];
  const result = new Map(chosen.map((standing) => [standing.target, standing]));
  return all.map((standing) => {
    const final = result.get(standing.target);
    if (final !== undefined) return final;
    return standing.unusable === null ? { ...standing, unusable: "backup", onTrial: false } : standing;
  });
}

function byCircuit(target: BalancedTarget, { circuits }: TargetTable): Standing {
  const state = circuits.state(target.slot);
  if (state === CircuitState.Closed) return { target, unusable: null, onTrial: false };
  if (state === CircuitState.Open) return { target, unusable: "circuit_open", onTrial: false };
  const isLeft = circuits.trials(target.slot) > 0;
  return { target, unusable: isLeft ? null : "trials", onTrial: isLeft };
}

/** The pool with those back in use that are more than may be out. */
function withCap(pool: Standing[], { circuits }: TargetTable, maxPercent: number, nowMs: number): Standing[] {
  const isEjected = ({ unusable, onTrial }: Standing) =>
    onTrial || unusable === "circuit_open" || unusable === "trials";
  const ejected = pool.filter(isEjected);
  const fit = pool.filter(({ unusable }) => unusable === null).length +
    ejected.filter(({ onTrial }) => !onTrial).length;
  const most = Math.floor(fit * maxPercent / 100);
  if (ejected.length <= most) return pool;
  const openedFirst = ejected.toSorted((a, b) =>
    circuits.sinceOpenedMs(b.target.slot, nowMs) - circuits.sinceOpenedMs(a.target.slot, nowMs) || 0
  );
  const spared = new Set(openedFirst.slice(most));
  return pool.map((standing) =>
    spared.has(standing) ? { target: standing.target, unusable: null, onTrial: false } : standing
  );
}
