import { avalanche, hashText } from "./hash.ts";
import { type Candidates, CountBlindPolicy, type ExcludedSlots } from "./policy.ts";

/**
 * Sticky sessions by weighted rendezvous hashing: each pair of client and target has a score, and the client
 * goes to its best. No state is kept, every thread decides alike, and when a target goes away only its own
 * clients move (each to its second best); when it returns, they return. A retry goes to the next best.
 */
export class Sticky extends CountBlindPolicy {
  #hashes = new Uint32Array(0);
  #inverseWeights = new Float64Array(0);

  override prepare(candidates: Candidates): void {
    super.prepare(candidates);
    const { names, weights } = candidates;
    this.#hashes = Uint32Array.from(names, (name) => hashText(name));
    this.#inverseWeights = Float64Array.from(weights, (weight) => 1 / weight);
  }

  override drawsFrom(): boolean {
    return false;
  }

  protected override choose(clientIp: string): number {
    return this.#best(clientIp, undefined);
  }

  protected override foresee(clientIp: string): number {
    return this.#best(clientIp, undefined);
  }

  protected override chooseOther(clientIp: string, exclude: ReadonlySet<number>): number {
    return this.#best(clientIp, exclude);
  }

  /** The highest score is ln(u) / weight for u in (0, 1): that makes shares proportional to weights. */
  #best(clientIp: string, exclude: ExcludedSlots): number {
    const { slots } = this.candidates;
    const hashes = this.#hashes;
    const inverseWeights = this.#inverseWeights;
    const client = hashText(clientIp);
    let best = -1;
    let bestScore = -Infinity;
    for (let index = 0; index < hashes.length; index++) {
      if (exclude !== undefined && exclude.has(slots[index])) continue;
      const u = (avalanche(client ^ hashes[index]) + 0.5) / 2 ** 32;
      // ln(u) < u - 1 spares nearly all logarithms (64 targets: 900 ns without this, 320 ns with it).
      if ((u - 1) * inverseWeights[index] <= bestScore) continue;
      const score = Math.log(u) * inverseWeights[index];
      if (score > bestScore) {
        bestScore = score;
        best = index;
      }
    }
    return best;
  }
}
