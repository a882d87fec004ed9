import { type Candidates, CountBlindPolicy } from "./policy.ts";
import { smoothSchedule, turnsByWeight } from "./schedule.ts";

/**
 * Smooth weighted round robin: 3:2:1 over 600 requests is exactly 300, 200 and 100, in whichever threads;
 * with equal weights it is plain round robin. When the 32-bit turn counter wraps (every 4,294,967,296
 * requests) and the period does not divide 2^32, the schedule starts anew in its middle, once.
 */
export class Weighted extends CountBlindPolicy {
  #schedule = new Uint16Array(0);

  override prepare(candidates: Candidates): void {
    super.prepare(candidates);
    this.#schedule = smoothSchedule(turnsByWeight(candidates.weights));
  }

  protected override choose(): number {
    const { table, rotation } = this.context;
    return this.#schedule[table.nextTurn(rotation) % this.#schedule.length];
  }

  protected override foresee(): number {
    const { table, rotation } = this.context;
    return this.#schedule[table.peekTurn(rotation) % this.#schedule.length];
  }
}
