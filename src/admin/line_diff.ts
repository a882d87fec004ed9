/** What has changed from one text to another, line by line. */
import type { DiffLine } from "./api.ts";

/** Beyond so many differences nobody reads on: what lies between the common ends is shown as replaced. */
const MAX_EDITS = 1_000;
/** Unchanged lines shown around each change. */
const CONTEXT_LINES = 3;

/** The changes with a few lines around each; [] for equal texts. */
export function lineDiff(before: string, after: string): DiffLine[] {
  if (before === after) return [];
  const lines = edits(linesOf(before), linesOf(after));
  const near = new Uint8Array(lines.length);
  lines.forEach(({ kind }, index) => {
    if (kind !== "same") near.fill(1, Math.max(0, index - CONTEXT_LINES), index + CONTEXT_LINES + 1);
  });
  return lines.filter((_, index) => near[index] === 1);
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function edits(before: string[], after: string[]): DiffLine[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let oldEnd = before.length;
  let newEnd = after.length;
  while (oldEnd > start && newEnd > start && before[oldEnd - 1] === after[newEnd - 1]) {
    oldEnd--;
    newEnd--;
  }
  const result: DiffLine[] = [];
  let oldLine = 1;
  let newLine = 1;
  const same = (text: string) =>
    result.push({ kind: "same", old_line: oldLine++, new_line: newLine++, text });
  const removed = (text: string) =>
    result.push({ kind: "removed", old_line: oldLine++, new_line: null, text });
  const added = (text: string) => result.push({ kind: "added", old_line: null, new_line: newLine++, text });

  before.slice(0, start).forEach(same);
  const kept = commonLines(before.slice(start, oldEnd), after.slice(start, newEnd));
  let [x, y] = [start, start];
  for (const [keptOld, keptNew] of [...kept, [oldEnd - start, newEnd - start]]) {
    while (x < start + keptOld) removed(before[x++]);
    while (y < start + keptNew) added(after[y++]);
    if (x < oldEnd && y < newEnd) {
      same(before[x++]);
      y++;
    }
  }
  before.slice(oldEnd).forEach(same);
  return result;
}

/**
 * Pairs of positions of lines that both have, ascending: a longest such sequence (E. Myers, "An O(ND)
 * Difference Algorithm", 1986). Empty where more than MAX_EDITS lines differ.
 */
function commonLines(a: string[], b: string[]): [number, number][] {
  const limit = Math.min(a.length + b.length, MAX_EDITS);
  // furthest[k] is the x reached on diagonal k = x - y; one copy is kept of each round, to walk back.
  const rounds: Int32Array[] = [];
  const furthest = new Int32Array(2 * limit + 3);
  const at = (k: number) => k + limit + 1;
  for (let d = 0; d <= limit; d++) {
    rounds.push(furthest.slice(at(-d) - 1, at(d) + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && furthest[at(k - 1)] < furthest[at(k + 1)]);
      let x = down ? furthest[at(k + 1)] : furthest[at(k - 1)] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      furthest[at(k)] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(rounds, a.length, b.length);
    }
  }
  return [];
}

function walkBack(rounds: Int32Array[], oldLength: number, newLength: number): [number, number][] {
  const pairs: [number, number][] = [];
  let [x, y] = [oldLength, newLength];
  for (let d = rounds.length - 1; d >= 0; d--) {
    const furthest = (k: number) => rounds[d][k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && furthest(k - 1) < furthest(k + 1));
    const fromX = d === 0 ? 0 : down ? furthest(k + 1) : furthest(k - 1);
    const fromY = d === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    while (x > fromX && y > fromY) pairs.push([--x, --y]);
    [x, y] = [fromX, fromY];
  }
  return pairs.reverse();
}
