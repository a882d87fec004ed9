/**
 * The regular expressions of the configuration. What is understood is what JavaScript and Rust mean alike, and
 * can be matched in time that grows with the text (`routing/regex/`): no backreferences, no lookahead or
 * lookbehind. A `.` is any character, line ends too: nobody who writes `^/private/.*` wants `/private/%0A` to
 * pass. `^` and `$` are the ends of the text.
 */
import type { Parsed } from "./fields.ts";

/** Code points as sorted pairs that neither touch nor overlap: from, to, from, to … */
export type CodePoints = readonly number[];

export type RegexNode =
  | { kind: "set"; points: CodePoints }
  | { kind: "sequence"; parts: RegexNode[] }
  | { kind: "choice"; options: RegexNode[] }
  | { kind: "repeat"; body: RegexNode; min: number; max: number; lazy: boolean }
  /** A group that is counted from 1. */
  | { kind: "group"; body: RegexNode; index: number }
  | { kind: "assert"; what: Assertion };

export type Assertion = "start" | "end" | "boundary" | "no boundary";

export interface Regex {
  root: RegexNode;
  /** Number of counted groups. */
  groups: number;
  /** Numbers of the named groups. */
  names: ReadonlyMap<string, number>;
}

const MAX_LENGTH = 1000;
const MAX_COUNT = 1000;
const MAX_NESTING = 50;
/** Steps that matching one character may take. */
const MAX_STEPS = 1000;

const LAST_POINT = 0x10ffff;
const DIGITS: CodePoints = [0x30, 0x39];
const WORD: CodePoints = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
const SPACE: CodePoints = [0x09, 0x0d, 0x20, 0x20];
const ANY: CodePoints = [0, LAST_POINT];

const CONTROLS: Readonly<Record<string, number>> = { t: 0x09, n: 0x0a, v: 0x0b, f: 0x0c, r: 0x0d };

/** For a configuration field: the text itself if it is a regular expression. */
export function parseRegexText(text: string): Parsed<string> {
  const parsed = parseRegex(text);
  return parsed.ok ? { ok: true, value: text } : parsed;
}

export function parseRegex(text: string): Parsed<Regex> {
  if (text === "" || text.length > MAX_LENGTH) {
    return { ok: false, wanted: `a regular expression of 1 to ${MAX_LENGTH} characters` };
  }
  const parser = new Parser(text);
  try {
    const root = parser.parse();
    if (stepsOf(root) > MAX_STEPS) {
      return { ok: false, wanted: "a smaller regular expression: its repetitions make it too large" };
    }
    return { ok: true, value: { root, groups: parser.groups, names: parser.names } };
  } catch (fault) {
    if (!(fault instanceof SyntaxProblem)) throw fault;
    return { ok: false, wanted: `a regular expression: ${fault.message}` };
  }
}

class SyntaxProblem extends Error {
  override name = "SyntaxProblem";
}

class Parser {
  groups = 0;
  readonly names = new Map<string, number>();
  readonly #characters: string[];
  #at = 0;
  #depth = 0;
  #ignoreCase = false;

  constructor(text: string) {
    this.#characters = [...text];
  }

  parse(): RegexNode {
    if (this.#take("(?i)")) this.#ignoreCase = true;
    const root = this.#choice();
    if (this.#at < this.#characters.length) throw this.#problem("this ) closes nothing");
    return root;
  }

  #problem(message: string, at = this.#at): SyntaxProblem {
    return new SyntaxProblem(`${message} (character ${at + 1})`);
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  /** Goes on behind `text` if that is what follows. */
  #take(text: string): boolean {
    for (let i = 0; i < text.length; i++) {
      if (this.#characters[this.#at + i] !== text[i]) return false;
    }
    this.#at += text.length;
    return true;
  }

  #choice(): RegexNode {
    if (++this.#depth > MAX_NESTING) throw this.#problem("groups are nested too deep");
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0] : { kind: "choice", options };
  }

  #sequence(): RegexNode {
    const parts: RegexNode[] = [];
    for (;;) {
      const next = this.#peek();
      if (next === undefined || next === "|" || next === ")") break;
      parts.push(this.#repeated(this.#atom()));
    }
    return parts.length === 1 ? parts[0] : { kind: "sequence", parts };
  }

  #repeated(body: RegexNode): RegexNode {
    const at = this.#at;
    const counts = this.#quantifier();
    if (counts === null) return body;
    const isBare = this.#characters[at - 1] !== ")";
    if (body.kind === "assert" && isBare) throw this.#problem("^, $ and \\b cannot be repeated", at);
    const [min, max] = counts;
    if (max < min) throw this.#problem("the counts are the wrong way round", at);
    if (min > MAX_COUNT || (max !== Infinity && max > MAX_COUNT)) {
      throw this.#problem(`at most ${MAX_COUNT} repetitions can be counted`, at);
    }
    const lazy = this.#take("?");
    const next = this.#peek();
    if (next !== undefined && "*+?{".includes(next)) {
      throw this.#problem("there is a second repetition for the same thing");
    }
    return { kind: "repeat", body, min, max, lazy };
  }

  #quantifier(): [min: number, max: number] | null {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    if (this.#peek() !== "{") return null;
    const end = this.#characters.indexOf("}", this.#at);
    const inside = this.#characters.slice(this.#at + 1, Math.max(end, this.#at)).join("");
    const counts = /^(\d{1,5})(?:(,)(\d{1,5})?)?$/.exec(inside);
    if (counts === null) throw this.#problem("{ begins no {n}, {n,} or {n,m}; itself it is written \\{");
    this.#at = end + 1;
    const min = Number(counts[1]);
    return [min, counts[2] === undefined ? min : counts[3] === undefined ? Infinity : Number(counts[3])];
  }

  #atom(): RegexNode {
    const at = this.#at;
    const character = this.#characters[this.#at++];
    switch (character) {
      case "(":
        return this.#group(at);
      case "[":
        return { kind: "set", points: this.#cased(this.#bracket(at)) };
      case ".":
        return { kind: "set", points: ANY };
      case "^":
        return { kind: "assert", what: "start" };
      case "$":
        return { kind: "assert", what: "end" };
      case "\\":
        return this.#escape(at);
      case "*":
      case "+":
      case "?":
        throw this.#problem("there is nothing to repeat", at);
      case "{":
        throw this.#problem("{ itself is written \\{", at);
      default:
        return { kind: "set", points: this.#cased(single(pointOf(character))) };
    }
  }

  #group(at: number): RegexNode {
    let index: number | null = null;
    if (this.#take("?")) {
      for (const look of ["=", "!", "<=", "<!"]) {
        if (this.#take(look)) {
          throw this.#problem("lookahead and lookbehind are not understood", at);
        }
      }
      if (this.#take("<") || this.#take("P<")) index = this.#named(at);
      else if (!this.#take(":")) {
        throw this.#problem(
          "of the groups with ? only (?:…), (?<name>…) and a first (?i) are understood",
          at,
        );
      }
    } else {
      index = ++this.groups;
    }
    const body = this.#choice();
    if (!this.#take(")")) throw this.#problem("this group is not closed", at);
    return index === null ? body : { kind: "group", body, index };
  }

  #named(at: number): number {
    const end = this.#characters.indexOf(">", this.#at);
    const name = end === -1 ? "" : this.#characters.slice(this.#at, end).join("");
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,31}$/.test(name)) {
      throw this.#problem("a group's name is 1 to 32 letters, digits or _", at);
    }
    if (this.names.has(name)) throw this.#problem(`there are two groups called ${name}`, at);
    this.#at = end + 1;
    this.names.set(name, ++this.groups);
    return this.groups;
  }

  #escape(at: number): RegexNode {
    if (this.#take("b")) return { kind: "assert", what: "boundary" };
    if (this.#take("B")) return { kind: "assert", what: "no boundary" };
    if (this.#take("A")) return { kind: "assert", what: "start" };
    if (this.#take("z")) return { kind: "assert", what: "end" };
    return { kind: "set", points: this.#cased(this.#escaped(at)) };
  }

  /** What an escape means inside and outside of brackets alike. */
  #escaped(at: number): CodePoints {
    const character = this.#characters[this.#at++];
    switch (character) {
      case undefined:
        throw this.#problem("a \\ at the end stands for nothing", at);
      case "d":
        return DIGITS;
      case "D":
        return complement(DIGITS);
      case "w":
        return WORD;
      case "W":
        return complement(WORD);
      case "s":
        return SPACE;
      case "S":
        return complement(SPACE);
      case "x":
      case "u":
        return single(this.#hexadecimal(character === "x" ? 2 : 4, at));
    }
    if (Object.hasOwn(CONTROLS, character)) return single(CONTROLS[character]);
    if (/[1-9k]/.test(character)) throw this.#problem("backreferences are not understood", at);
    if (/[A-Za-z0-9]/.test(character)) throw this.#problem(`\\${character} is not understood`, at);
    return single(pointOf(character));
  }

  #hexadecimal(digits: number, at: number): number {
    let text: string;
    if (this.#take("{")) {
      const end = this.#characters.indexOf("}", this.#at);
      text = this.#characters.slice(this.#at, Math.max(end, this.#at)).join("");
      this.#at = end + 1;
      if (!/^[0-9A-Fa-f]{1,6}$/.test(text)) throw this.#problem("no hexadecimal number in { }", at);
    } else {
      text = this.#characters.slice(this.#at, this.#at + digits).join("");
      this.#at += digits;
      if (text.length !== digits || !/^[0-9A-Fa-f]+$/.test(text)) {
        throw this.#problem(`${digits} hexadecimal digits are missing`, at);
      }
    }
    const point = parseInt(text, 16);
    if (point > LAST_POINT) throw this.#problem("there is no such character", at);
    return point;
  }

  #bracket(at: number): CodePoints {
    const negated = this.#take("^");
    const pairs: number[] = [];
    // As in Rust and POSIX, a ] that comes first is one of the characters.
    let first = true;
    for (;; first = false) {
      const character = this.#peek();
      if (character === undefined) throw this.#problem("this [ is not closed", at);
      if (character === "]" && !first) break;
      const from = this.#bracketEntry();
      const isRange = this.#peek() === "-" && ![undefined, "]"].includes(this.#characters[this.#at + 1]);
      if (!isRange) {
        pairs.push(...from);
        continue;
      }
      const dash = this.#at++;
      const to = this.#bracketEntry();
      if (!isSingle(from) || !isSingle(to)) throw this.#problem("a - between sets is no range", dash);
      if (to[0] < from[0]) throw this.#problem("the range is the wrong way round", dash);
      pairs.push(from[0], to[0]);
    }
    this.#at++;
    const points = union(pairs);
    // The case must be known before the complement is taken.
    return negated ? complement(this.#cased(points)) : points;
  }

  #bracketEntry(): CodePoints {
    const at = this.#at;
    const character = this.#characters[this.#at++];
    if (character === "\\") {
      if (this.#take("b")) throw this.#problem("\\b is no character", at);
      return this.#escaped(at);
    }
    if (character === "[") throw this.#problem("[ inside [ ] is written \\[", at);
    if (character === "&" && this.#peek() === "&") throw this.#problem("&& inside [ ] is not understood", at);
    return single(pointOf(character));
  }

  #cased(points: CodePoints): CodePoints {
    if (!this.#ignoreCase) return points;
    const pairs = [...points];
    for (let i = 0; i < points.length; i += 2) {
      addShifted(pairs, points[i], points[i + 1], 0x41, 0x5a, 0x20);
      addShifted(pairs, points[i], points[i + 1], 0x61, 0x7a, -0x20);
    }
    return union(pairs);
  }
}

/** Adds what of `from` to `to` lies within `low` to `high`, moved by `shift`. */
function addShifted(pairs: number[], from: number, to: number, low: number, high: number, shift: number) {
  const first = Math.max(from, low);
  const last = Math.min(to, high);
  if (first <= last) pairs.push(first + shift, last + shift);
}

function pointOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

function single(point: number): CodePoints {
  return [point, point];
}

function isSingle(points: CodePoints): boolean {
  return points.length === 2 && points[0] === points[1];
}

/** @param pairs in any order, overlapping or not */
function union(pairs: readonly number[]): CodePoints {
  const ranges: [number, number][] = [];
  for (let i = 0; i < pairs.length; i += 2) ranges.push([pairs[i], pairs[i + 1]]);
  ranges.sort((a, b) => a[0] - b[0]);
  const points: number[] = [];
  for (const [from, to] of ranges) {
    const last = points.length - 1;
    if (last > 0 && from <= points[last] + 1) points[last] = Math.max(points[last], to);
    else points.push(from, to);
  }
  return points;
}

function complement(points: CodePoints): CodePoints {
  const rest: number[] = [];
  let next = 0;
  for (let i = 0; i < points.length; i += 2) {
    if (points[i] > next) rest.push(next, points[i] - 1);
    next = points[i + 1] + 1;
  }
  if (next <= LAST_POINT) rest.push(next, LAST_POINT);
  return rest;
}

/** An upper bound of the instructions that `routing/regex/program.ts` makes of it. */
function stepsOf(node: RegexNode): number {
  switch (node.kind) {
    case "set":
    case "assert":
      return 1;
    case "group":
      return stepsOf(node.body) + 2;
    case "sequence":
      return node.parts.reduce((sum, part) => sum + stepsOf(part), 0);
    case "choice":
      return node.options.reduce((sum, option) => sum + stepsOf(option) + 2, 0);
    case "repeat":
      return (stepsOf(node.body) + 3) * (node.max === Infinity ? node.min + 1 : node.max);
  }
}
