import { CountBlindPolicy } from "./policy.ts";

/**
 * Equal turns. When the 32-bit turn counter wraps (every 4,294,967,296 requests) and the number of targets
 * does not divide 2^32, the round starts anew in its middle: some targets then get one turn less, once.
 */
export class RoundRobin extends CountBlindPolicy {
  protected override choose(): number {
    const { table, rotation } = this.context;
    return table.nextTurn(rotation) % this.candidates.slots.length;
  }
}
