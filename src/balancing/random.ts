import { type Candidates, CountBlindPolicy } from "./policy.ts";

/** Independent choices in proportion to the weights. */
export class WeightedRandom extends CountBlindPolicy {
  /** Sum of the weights up to and with each candidate. */
  #upTo = new Float64Array(0);

  override prepare(candidates: Candidates): void {
    super.prepare(candidates);
    let sum = 0;
    this.#upTo = Float64Array.from(candidates.weights, (weight) => sum += weight);
  }

  override drawsFrom(): boolean {
    return true;
  }

  protected override choose(): number {
    const upTo = this.#upTo;
    let low = 0;
    let high = upTo.length - 1;
    const point = this.context.random() * upTo[high];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (point < upTo[middle]) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** One draw: what the next will be nobody knows. */
  protected override foresee(): number {
    return this.choose();
  }
}
