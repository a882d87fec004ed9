/** Flags of all commands, parsed by the runtime's `parseArgs`; what it refuses ends with exit code 64. */
import { parseArgs, type ParseArgsConfig } from "node:util";

/** Wrong usage of the command line: exit code 64 (EX_USAGE of sysexits.h). */
export class UsageError extends Error {
  override name = "UsageError";
}

export type FlagTable = NonNullable<ParseArgsConfig["options"]>;

/** @throws UsageError that names the flag and, where one is near, the flag that was probably meant */
export function parseFlags<Flags extends FlagTable>(args: string[], options: Flags, positionals = 0) {
  let parsed;
  try {
    parsed = parseArgs({ args, options, strict: true, allowPositionals: true });
  } catch (fault) {
    throw new UsageError(usageMessage(fault, options));
  }
  if (parsed.positionals.length > positionals) {
    throw new UsageError(`unexpected argument "${parsed.positionals[positionals]}"`);
  }
  return parsed;
}

function usageMessage(fault: unknown, options: FlagTable): string {
  const message = fault instanceof Error ? fault.message : String(fault);
  const unknown = /Unknown option '(--?[^']+)'/.exec(message)?.[1];
  if (unknown === undefined) return message.split(". ")[0];
  const near = nearest(unknown.replace(/^-+/, ""), [...Object.keys(options), "help"]);
  return `unknown flag ${unknown}${near === null ? "" : `, did you mean --${near}?`}`;
}

/** The candidate at most two edits away from `word`, or null. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = 3;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, substitution));
    }
    row = next;
  }
  return row[b.length];
}
