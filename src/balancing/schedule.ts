/**
 * The order in which weighted targets take their turns: one period of smooth weighted round robin (nginx's
 * algorithm), computed ahead so that threads only have to share a turn counter.
 */

/** Longest schedule in turns (two bytes each). Sixteen times MAX_TARGETS, so that rounding stays small. */
const MAX_PERIOD = 65_536;

/**
 * Turns of each target in one period: the weights themselves in lowest terms, or, where those sum to more
 * than `maxPeriod`, rounded to about that scale. Then no target goes without a turn, and of `n` targets the share
 * of each differs from its exact value `s` by at most `(1 + s × n) / (maxPeriod - 2n)`.
 * @param weights whole numbers, each at least 1
 * @param maxPeriod more than twice the number of weights
 */
export function turnsByWeight(weights: ArrayLike<number>, maxPeriod = MAX_PERIOD): number[] {
  const turns = inLowestTerms(Array.from(weights));
  const total = sum(turns);
  if (total <= maxPeriod) return turns;
  // Each rounded number is at most one above its exact value, so `weights.length` turns are kept for that.
  const scale = (maxPeriod - turns.length) / total;
  return inLowestTerms(turns.map((weight) => Math.max(1, Math.round(weight * scale))));
}

/**
 * One period: each turn goes to the target that is furthest behind its share, the first of equals. Target
 * `i` appears exactly `turns[i]` times. Targets with the same number of turns are peers that take them one
 * after another, so only the next of each group is compared: `period × groups` steps, at most 65,536 × 361,
 * since distinct whole numbers that sum to 65,536 cannot be more.
 */
export function smoothSchedule(turns: readonly number[]): Uint16Array<ArrayBuffer> {
  const peersByTurns = new Map<number, number[]>();
  for (let target = 0; target < turns.length; target++) {
    const peers = peersByTurns.get(turns[target]);
    if (peers) peers.push(target);
    else peersByTurns.set(turns[target], [target]);
  }
  const groups = [...peersByTurns.values()];
  const turnsOf = Int32Array.from(peersByTurns.keys());
  /** nginx's `current_weight` of the next peer of each group, and that peer's place in the group. */
  const current = new Int32Array(groups.length);
  const next = new Int32Array(groups.length);
  const period = sum(turns);
  const schedule = new Uint16Array(period);
  for (let turn = 0; turn < period; turn++) {
    let best = 0;
    let highest = current[0] += turnsOf[0];
    for (let group = 1; group < groups.length; group++) {
      const weight = current[group] += turnsOf[group];
      if (weight < highest) continue;
      if (weight === highest && groups[group][next[group]] > groups[best][next[best]]) continue;
      best = group;
      highest = weight;
    }
    schedule[turn] = groups[best][next[best]++];
    if (next[best] === groups[best].length) {
      next[best] = 0;
      current[best] -= period;
    }
  }
  return schedule;
}

function inLowestTerms(numbers: number[]): number[] {
  const divisor = numbers.reduce(greatestCommonDivisor);
  return divisor === 1 ? numbers : numbers.map((number) => number / divisor);
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
