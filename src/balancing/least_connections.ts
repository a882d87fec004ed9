import {
  type Candidates,
  type ExcludedSlots,
  full,
  NONE,
  type Policy,
  type PolicyContext,
} from "./policy.ts";

/**
 * A try fails only when another thread has taken the same target since this one looked, so even a few tries
 * are rarely needed. 256 in a row means that something else is wrong; then any near-least target will do.
 */
const MAX_TRIES = 256;

const NO_TURN = -1;

/**
 * The target with the fewest connections in flight for its weight. Equals take turns, in proportion to their
 * weights where these differ. The count is compared and raised in one atomic step, so that threads which
 * look at the same moment don't all choose the same target.
 */
export class LeastConnections implements Policy {
  readonly #context: PolicyContext;
  #candidates: Candidates = {
    slots: new Int32Array(0),
    names: [],
    weights: new Int32Array(0),
    limits: null,
  };
  #equalWeights = true;
  // Written anew by each look; kept to spare the allocation.
  #seen = new Int32Array(0);
  #loads = new Float64Array(0);
  #turn = NO_TURN;

  constructor(context: PolicyContext) {
    this.#context = context;
  }

  prepare(candidates: Candidates): void {
    this.#candidates = candidates;
    const { weights } = candidates;
    this.#equalWeights = weights.every((weight) => weight === weights[0]);
    this.#seen = new Int32Array(weights.length);
    this.#loads = new Float64Array(weights.length);
  }

  take(_clientIp: string, exclude: ExcludedSlots): number {
    const { table, own } = this.#context;
    const { slots, limits } = this.#candidates;
    this.#turn = NO_TURN;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const index = this.#least(exclude);
      if (index < 0 || table.incrementIf(slots[index], this.#seen[index], own)) return index;
    }
    const index = this.#least(exclude);
    if (index < 0) return NONE;
    if (limits === null) table.increment(slots[index], own);
    else if (!table.incrementBelow(slots[index], limits[index], own)) return full(index);
    return index;
  }

  peek(_clientIp: string, exclude: ExcludedSlots): number {
    const { table, rotation } = this.#context;
    this.#turn = table.peekTurn(rotation);
    return this.#least(exclude);
  }

  drawsFrom(): boolean {
    return false;
  }

  #least(exclude: ExcludedSlots): number {
    const { table } = this.#context;
    const { slots, weights, limits } = this.#candidates;
    const seen = this.#seen;
    const loads = this.#loads;
    const equalWeights = this.#equalWeights;
    let least = Infinity;
    let first = NONE;
    let ties = 0;
    let tiedWeight = 0;
    for (let index = 0; index < slots.length; index++) {
      if (exclude !== undefined && exclude.has(slots[index])) {
        loads[index] = NaN; // equal to nothing
        continue;
      }
      const active = table.activeHint(slots[index]);
      if (limits !== null && active >= limits[index]) {
        loads[index] = NaN;
        continue;
      }
      const load = equalWeights ? active : active / weights[index];
      seen[index] = active;
      loads[index] = load;
      if (load < least) {
        least = load;
        first = index;
        ties = 1;
        tiedWeight = weights[index];
      } else if (load === least) {
        ties++;
        tiedWeight += weights[index];
      }
    }
    return ties > 1 ? this.#tied(first, least, ties, tiedWeight) : first;
  }

  /** One of the equally loaded candidates: the turn counts among these only, lest a busy one's neighbour gains. */
  #tied(first: number, least: number, ties: number, tiedWeight: number): number {
    const { table, rotation } = this.#context;
    const { weights } = this.#candidates;
    const loads = this.#loads;
    if (this.#turn === NO_TURN) this.#turn = table.nextTurn(rotation);
    let point = this.#equalWeights ? this.#turn % ties : evenlySpread(this.#turn) * tiedWeight;
    let index = first;
    let last = first;
    for (; index < loads.length; index++) {
      if (loads[index] !== least) continue;
      last = index;
      point -= this.#equalWeights ? 1 : weights[index];
      if (point < 0) break;
    }
    return last;
  }
}

/**
 * Maps successive turns to points from 0 to below 1 that are spread evenly however many are taken: the
 * multiples of the golden ratio, modulo 1 (a Weyl sequence).
 */
function evenlySpread(turn: number): number {
  return (Math.imul(turn, 0x9e3779b1) >>> 0) / 2 ** 32;
}
