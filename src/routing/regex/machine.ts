/**
 * Runs a program in time that grows with the text times the program, whatever the expression: it follows all
 * ways at once, character by character, and never two at the same place (Pike's machine). The match is the one
 * that a backtracking engine would find first.
 */
import type { Assertion } from "../../config/regex_syntax.ts";
import type { Program } from "./program.ts";

/** Ways that wait for the next character, the preferred first, each with what its groups matched so far. */
class Ways {
  readonly places: Int32Array;
  readonly saved: Int32Array;
  count = 0;

  constructor(size: number, slots: number) {
    this.places = new Int32Array(size);
    this.saved = new Int32Array(size * slots);
  }
}

/** Rounds are kept in 32 bits; no text has as many characters as are left above this. */
const MANY_ROUNDS = 2 ** 31;

export class Machine {
  readonly #program: Program;
  /** In which round a place was reached last. */
  readonly #reached: Uint32Array;
  #round = 0;
  #now: Ways;
  #next: Ways;
  /** Slots of the way that is being followed. */
  readonly #slots: Int32Array;
  /** 0 where only the yes or no is wanted. */
  #kept = 0;

  constructor(program: Program) {
    this.#program = program;
    const size = program.instructions.length;
    this.#reached = new Uint32Array(size);
    this.#now = new Ways(size, program.slots);
    this.#next = new Ways(size, program.slots);
    this.#slots = new Int32Array(program.slots);
  }

  test(text: string): boolean {
    this.#kept = 0;
    return this.#run(text, 0) !== null;
  }

  /** The first match that begins at `from` or later: start and end of each group, -1 where it took no part. */
  find(text: string, from: number): Int32Array | null {
    this.#kept = this.#program.slots;
    return this.#run(text, from);
  }

  #run(text: string, from: number): Int32Array | null {
    const { instructions } = this.#program;
    const kept = this.#kept;
    let found: Int32Array | null = null;
    this.#now.count = 0;
    if (this.#round > MANY_ROUNDS) {
      this.#reached.fill(0);
      this.#round = 0;
    }
    this.#round++;
    for (let at = from;;) {
      const point = text.codePointAt(at);
      const after = point === undefined ? at + 1 : at + (point > 0xffff ? 2 : 1);
      // A match that would begin here comes after all that began before, which have marked their places.
      if (found === null) {
        this.#slots.fill(-1);
        this.#follow(0, text, at, this.#now);
      }
      const ways = this.#now;
      const next = this.#next;
      next.count = 0;
      this.#round++;
      for (let index = 0; index < ways.count; index++) {
        const instruction = instructions[ways.places[index]];
        if (instruction.op === "match") {
          found = ways.saved.slice(index * kept, (index + 1) * kept);
          if (kept === 0) return found;
          break;
        }
        if (instruction.op !== "character" || point === undefined || !instruction.set.has(point)) continue;
        for (let slot = 0; slot < kept; slot++) this.#slots[slot] = ways.saved[index * kept + slot];
        this.#follow(ways.places[index] + 1, text, after, next);
      }
      if (point === undefined || (found !== null && next.count === 0)) return found;
      this.#now = next;
      this.#next = ways;
      at = after;
    }
  }

  /** Goes on from a place without taking a character, to all places that take one. */
  #follow(place: number, text: string, at: number, ways: Ways): void {
    if (this.#reached[place] === this.#round) return;
    this.#reached[place] = this.#round;
    const instruction = this.#program.instructions[place];
    switch (instruction.op) {
      case "jump":
        this.#follow(instruction.to, text, at, ways);
        break;
      case "split":
        this.#follow(instruction.first, text, at, ways);
        this.#follow(instruction.second, text, at, ways);
        break;
      case "assert":
        if (holds(instruction.what, text, at)) this.#follow(place + 1, text, at, ways);
        break;
      case "save": {
        const before = this.#slots[instruction.slot];
        this.#slots[instruction.slot] = at;
        this.#follow(place + 1, text, at, ways);
        this.#slots[instruction.slot] = before;
        break;
      }
      case "forget": {
        const before = this.#slots.slice(instruction.from, instruction.to + 1);
        this.#slots.fill(-1, instruction.from, instruction.to + 1);
        this.#follow(place + 1, text, at, ways);
        this.#slots.set(before, instruction.from);
        break;
      }
      case "character":
      case "match": {
        const index = ways.count++;
        ways.places[index] = place;
        for (let slot = 0; slot < this.#kept; slot++) {
          ways.saved[index * this.#kept + slot] = this.#slots[slot];
        }
      }
    }
  }
}

function holds(what: Assertion, text: string, at: number): boolean {
  switch (what) {
    case "start":
      return at === 0;
    case "end":
      return at === text.length;
    case "boundary":
      return isWord(text, at - 1) !== isWord(text, at);
    case "no boundary":
      return isWord(text, at - 1) === isWord(text, at);
  }
}

function isWord(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) ||
    code === 0x5f;
}
