/** A regular expression as a list of instructions, as Thompson (1968) and Pike have it. */
import type { Assertion, CodePoints, Regex, RegexNode } from "../../config/regex_syntax.ts";

export type Instruction =
  /** Takes one character of the set. */
  | { op: "character"; set: CharacterSet }
  /** Goes on at both; the first is preferred. */
  | { op: "split"; first: number; second: number }
  | { op: "jump"; to: number }
  /** Notes the place in the text. */
  | { op: "save"; slot: number }
  /** A new round of a repetition forgets what groups inside it matched in the last one, as in JavaScript. */
  | { op: "forget"; from: number; to: number }
  | { op: "assert"; what: Assertion }
  | { op: "match" };

/** Slots 2n and 2n+1 of a match are where group n begins and ends; 0 is the whole match. */
export interface Program {
  instructions: readonly Instruction[];
  slots: number;
}

/** One character in a set of code points; what is ASCII is looked up in 128 bits. */
export class CharacterSet {
  readonly #points: CodePoints;
  readonly #ascii = new Uint32Array(4);

  constructor(points: CodePoints) {
    this.#points = points;
    for (let point = 0; point < 128; point++) {
      if (this.#search(point)) this.#ascii[point >> 5] |= 1 << (point & 31);
    }
  }

  has(point: number): boolean {
    return point < 128 ? (this.#ascii[point >> 5] & (1 << (point & 31))) !== 0 : this.#search(point);
  }

  #search(point: number): boolean {
    const points = this.#points;
    for (let i = 0; i < points.length; i += 2) if (point <= points[i + 1]) return point >= points[i];
    return false;
  }
}

export function compileProgram({ root, groups }: Regex): Program {
  const code: Instruction[] = [];
  const next = () => code.length;

  function emit(node: RegexNode): void {
    switch (node.kind) {
      case "set":
        code.push({ op: "character", set: new CharacterSet(node.points) });
        break;
      case "assert":
        code.push({ op: "assert", what: node.what });
        break;
      case "group":
        code.push({ op: "save", slot: 2 * node.index });
        emit(node.body);
        code.push({ op: "save", slot: 2 * node.index + 1 });
        break;
      case "sequence":
        node.parts.forEach(emit);
        break;
      case "choice":
        emitChoice(node.options);
        break;
      case "repeat":
        emitRepeat(node);
    }
  }

  function emitChoice(options: RegexNode[]): void {
    const ends: { op: "jump"; to: number }[] = [];
    options.forEach((option, index) => {
      if (index === options.length - 1) return emit(option);
      const split = { op: "split" as const, first: next() + 1, second: 0 };
      code.push(split);
      emit(option);
      const end = { op: "jump" as const, to: 0 };
      code.push(end);
      ends.push(end);
      split.second = next();
    });
    for (const end of ends) end.to = next();
  }

  function emitRepeat({ body, min, max, lazy }: RegexNode & { kind: "repeat" }): void {
    const inside = groupsIn(body);
    const round = () => {
      if (inside !== null) {
        code.push({ op: "forget", from: 2 * inside.first, to: 2 * inside.last + 1 });
      }
      emit(body);
    };
    /** What sends the machine into another round or past the end, which is filled in later. */
    const fork = () => {
      const split = { op: "split" as const, first: next() + 1, second: next() + 1 };
      code.push(split);
      return (end: number) => {
        if (lazy) split.first = end;
        else split.second = end;
      };
    };
    for (let times = 0; times < min; times++) round();
    if (max === Infinity) {
      const start = next();
      const setEnd = fork();
      round();
      code.push({ op: "jump", to: start });
      setEnd(next());
      return;
    }
    const forks: ((end: number) => void)[] = [];
    for (let times = min; times < max; times++) {
      forks.push(fork());
      round();
    }
    for (const setEnd of forks) setEnd(next());
  }

  code.push({ op: "save", slot: 0 });
  emit(root);
  code.push({ op: "save", slot: 1 }, { op: "match" });
  return { instructions: code, slots: 2 * groups + 2 };
}

/** Numbers of the first and the last group inside; they count from left to right. */
function groupsIn(node: RegexNode): { first: number; last: number } | null {
  switch (node.kind) {
    case "set":
    case "assert":
      return null;
    case "group":
      return { first: node.index, last: groupsIn(node.body)?.last ?? node.index };
    case "repeat":
      return groupsIn(node.body);
    case "sequence":
    case "choice": {
      const found = (node.kind === "sequence" ? node.parts : node.options)
        .map(groupsIn).filter((groups) => groups !== null);
      return found.length === 0 ? null : { first: found[0].first, last: found[found.length - 1].last };
    }
  }
}
