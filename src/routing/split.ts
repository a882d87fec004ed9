/** Weighted shares of a rule's requests, e.g. for a canary. */
import { avalanche, hashText } from "../balancing/hash.ts";
import type { SplitKey } from "../config/model.ts";
import { getField } from "../http/flat_headers.ts";
import type { RequestMessage } from "../http/message.ts";
import type { TargetSet } from "./target_sets.ts";

export interface SplitShare {
  readonly targets: TargetSet;
  /** 0 to 1; those of a split make 1. */
  readonly share: number;
}

export class Split {
  readonly shares: readonly SplitShare[];
  readonly sticky: SplitKey | null;
  /** Sum of the shares up to each. */
  readonly #bounds: readonly number[];
  /** So that the same client is not among the first 5 % of every rule. */
  readonly #seed: number;

  /** @param parts their weights are 0 or more, not all of them 0 */
  constructor(
    rule: string,
    parts: readonly { targets: TargetSet; weight: number }[],
    sticky: SplitKey | null,
  ) {
    const total = parts.reduce((sum, { weight }) => sum + weight, 0);
    this.shares = parts.filter(({ weight }) => weight > 0)
      .map(({ targets, weight }) => ({ targets, share: weight / total }));
    let bound = 0;
    this.#bounds = this.shares.map(({ share }) => bound += share);
    this.sticky = sticky;
    this.#seed = hashText(rule);
  }

  /** @param random from 0 to below 1; not used where the split is sticky */
  choose(request: RequestMessage, random: () => number): TargetSet {
    const { sticky } = this;
    const place = sticky === null
      ? random()
      : avalanche(hashText(keyOf(sticky, request), this.#seed)) / 2 ** 32;
    const index = this.#bounds.findIndex((bound) => place < bound);
    // Sums of fractions may end a little below 1.
    return this.shares[index === -1 ? this.shares.length - 1 : index].targets;
  }
}

function keyOf(sticky: SplitKey, request: RequestMessage): string {
  switch (sticky.by) {
    case "ip":
      return request.clientIp;
    case "header":
      return getField(request.headers, sticky.name) ?? request.clientIp;
    case "cookie":
      return cookieValue(request, sticky.name) ?? request.clientIp;
  }
}

/** The first cookie of that name (RFC 6265 section 4.2.1). */
function cookieValue({ headers }: RequestMessage, name: string): string | null {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== "cookie") continue;
    for (const pair of headers[i + 1].split(";")) {
      const equals = pair.indexOf("=");
      if (equals !== -1 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
    }
  }
  return null;
}
