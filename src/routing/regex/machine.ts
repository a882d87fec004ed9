/**
 * Runs a program in time that grows with the text times the program, whatever the expression: it follows all
 * ways at once, character by character, and never two at the same place (Pike's machine). The match is the one
 * that a backtracking engine would find first.
 */
import type { Assertion } from "../../config/regex_syntax.ts";
import type { CharacterSet, Instruction, Program } from "./program.ts";

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

// Numbers in typed arrays: with instruction objects, and slots forgotten that nobody asked for, 4,000 characters on
// 500 instructions took eight times as long.
const CHARACTER = 0, SPLIT = 1, JUMP = 2, SAVE = 3, FORGET = 4, ASSERT = 5, MATCH = 6;
const OPERATIONS: Record<Instruction["op"], number> = {
  character: CHARACTER,
  split: SPLIT,
  jump: JUMP,
  save: SAVE,
  forget: FORGET,
  assert: ASSERT,
  match: MATCH,
};

export class Machine {
  readonly #slotCount: number;
  readonly #operations: Uint8Array;
  /** First and second number of each instruction: where it goes, or the slots it is about. */
  readonly #first: Int32Array;
  readonly #second: Int32Array;
  readonly #sets: readonly (CharacterSet | null)[];
  readonly #assertions: readonly (Assertion | null)[];
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
    const { instructions } = program;
    const size = instructions.length;
    this.#slotCount = program.slots;
    this.#operations = Uint8Array.from(instructions, ({ op }) => OPERATIONS[op]);
    this.#first = Int32Array.from(instructions, (instruction) => numbersOf(instruction)[0]);
    this.#second = Int32Array.from(instructions, (instruction) => numbersOf(instruction)[1]);
    this.#sets = instructions.map((instruction) => instruction.op === "character" ? instruction.set : null);
    this.#assertions = instructions.map((instruction) =>
      instruction.op === "assert" ? instruction.what : null
    );
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
    this.#kept = this.#slotCount;
    return this.#run(text, from);
  }

  #run(text: string, from: number): Int32Array | null {
    const sets = this.#sets;
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
        const place = ways.places[index];
        if (this.#operations[place] === MATCH) {
          found = ways.saved.slice(index * kept, (index + 1) * kept);
          if (kept === 0) return found;
          break;
        }
        if (point === undefined || sets[place]?.has(point) !== true) continue;
        for (let slot = 0; slot < kept; slot++) this.#slots[slot] = ways.saved[index * kept + slot];
        this.#follow(place + 1, text, after, next);
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
    switch (this.#operations[place]) {
      case JUMP:
        this.#follow(this.#first[place], text, at, ways);
        break;
      case SPLIT:
        this.#follow(this.#first[place], text, at, ways);
        this.#follow(this.#second[place], text, at, ways);
        break;
      case ASSERT: {
        const what = this.#assertions[place];
        if (what === null || holds(what, text, at)) this.#follow(place + 1, text, at, ways);
        break;
      }
      case SAVE: {
        const slot = this.#first[place];
        const before = this.#slots[slot];
        this.#slots[slot] = at;
        this.#follow(place + 1, text, at, ways);
        this.#slots[slot] = before;
        break;
      }
      case FORGET: {
        if (this.#kept === 0) return this.#follow(place + 1, text, at, ways);
        const from = this.#first[place];
        const before = this.#slots.slice(from, this.#second[place] + 1);
        this.#slots.fill(-1, from, this.#second[place] + 1);
        this.#follow(place + 1, text, at, ways);
        this.#slots.set(before, from);
        break;
      }
      case CHARACTER:
      case MATCH: {
        const index = ways.count++;
        ways.places[index] = place;
        for (let slot = 0; slot < this.#kept; slot++) {
          ways.saved[index * this.#kept + slot] = this.#slots[slot];
        }
      }
    }
  }
}

function numbersOf(instruction: Instruction): [first: number, second: number] {
  switch (instruction.op) {
    case "split":
      return [instruction.first, instruction.second];
    case "jump":
      return [instruction.to, 0];
    case "save":
      return [instruction.slot, 0];
    case "forget":
      return [instruction.from, instruction.to];
    case "assert":
    case "character":
    case "match":
      return [0, 0];
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
