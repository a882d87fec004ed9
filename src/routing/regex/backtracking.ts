/**
 * How far the runtime's own regular expression engine may be trusted. It tries one alternative after the other
 * and can take exponential time; here is told up to which length of text it cannot take long.
 */
import type { CodePoints, RegexNode } from "../../config/regex_syntax.ts";

/** Steps of the engine for one text: a fraction of a millisecond. */
const MAX_STEPS = 250_000;
/** Steps at each of the up to 16,384 characters of a header line: some milliseconds. */
const MAX_STEPS_PER_CHARACTER = 512;
const LONGEST_TEXT = 65_536;
/** Beyond this, looking costs more than the faster engine gains. */
const MAX_POSITIONS = 200;

/** Length of the longest texts for which backtracking is quick whatever they hold; -1 where it never is. */
export function lengthForBacktracking(root: RegexNode): number {
  const isBound = isAnchored(root);
  if (isBound && isDeterministic(root)) return Infinity;
  // Without loops, the steps from one character do not depend on the length.
  if (effort(root, LONGEST_TEXT).steps <= MAX_STEPS_PER_CHARACTER) return Infinity;
  const isQuick = (length: number) => effort(root, length).steps * (isBound ? 1 : length + 1) <= MAX_STEPS;
  if (!isQuick(0)) return -1;
  let quick = 0;
  let slow = LONGEST_TEXT;
  while (slow - quick > 1) {
    const middle = (quick + slow) >> 1;
    if (isQuick(middle)) quick = middle;
    else slow = middle;
  }
  return quick;
}

/** The expression in JavaScript's syntax, for the flag `v`: with `u`, V8 15.0 finds no `[\u{10000}-\u{10ffff}]$`. */
export function toJavaScript(node: RegexNode): string {
  switch (node.kind) {
    case "set":
      return bracket(node.points);
    case "assert":
      return { start: "^", end: "$", boundary: "\\b", "no boundary": "\\B" }[node.what];
    case "group":
      return `(${toJavaScript(node.body)})`;
    case "sequence":
      return node.parts.map((part) => part.kind === "choice" ? nested(part) : toJavaScript(part)).join("");
    case "choice":
      return node.options.map(toJavaScript).join("|");
    case "repeat": {
      const max = node.max === Infinity ? "" : node.max;
      return `${nested(node.body)}{${node.min},${max}}${node.lazy ? "?" : ""}`;
    }
  }
}

function nested(node: RegexNode): string {
  return `(?:${toJavaScript(node)})`;
}

function bracket(points: CodePoints): string {
  const escaped = (point: number) => `\\u{${point.toString(16)}}`;
  let text = "";
  for (let i = 0; i < points.length; i += 2) text += `${escaped(points[i])}-${escaped(points[i + 1])}`;
  return `[${text}]`;
}

interface Effort {
  /** In how many ways the engine may go through. */
  ways: number;
  /** What it does on all of them together. */
  steps: number;
}

/** At most this much is done from one place in a text of that length. */
function effort(node: RegexNode, length: number): Effort {
  switch (node.kind) {
    case "set":
    case "assert":
      return { ways: 1, steps: 1 };
    case "group":
      return effort(node.body, length);
    case "sequence":
      return node.parts.reduce<Effort>((before, part) => {
        const { ways, steps } = effort(part, length);
        return { ways: before.ways * ways, steps: before.steps + before.ways * steps };
      }, { ways: 1, steps: 0 });
    case "choice":
      return node.options.map((option) => effort(option, length)).reduce((sum, { ways, steps }) => ({
        ways: sum.ways + ways,
        steps: sum.steps + steps,
      }));
    case "repeat":
      return effortOfRounds(effort(node.body, length), node, length);
  }
}

function effortOfRounds(
  round: Effort,
  { body, min, max }: RegexNode & { kind: "repeat" },
  length: number,
): Effort {
  // Rounds that take nothing are limited by the counts, the others by the text.
  const most = mayBeEmpty(body)
    ? (max === Infinity ? Math.max(min, length) + 1 : max)
    : Math.min(max, length);
  if (round.ways === 1) return { ways: Math.max(1, most - min + 1), steps: 1 + most * round.steps };
  let [ways, steps, begun] = [min === 0 ? 1 : 0, 1, 1];
  for (let times = 1; times <= most && steps <= MAX_STEPS; times++) {
    steps += begun * round.steps;
    begun *= round.ways;
    if (times >= min) ways += begun;
  }
  return { ways: Math.max(1, ways), steps };
}

function mayBeEmpty(node: RegexNode): boolean {
  switch (node.kind) {
    case "set":
      return false;
    case "assert":
      return true;
    case "group":
      return mayBeEmpty(node.body);
    case "sequence":
      return node.parts.every(mayBeEmpty);
    case "choice":
      return node.options.some(mayBeEmpty);
    case "repeat":
      return node.min === 0 || mayBeEmpty(node.body);
  }
}

/** Whether it can match only at the start of a text. */
function isAnchored(node: RegexNode): boolean {
  switch (node.kind) {
    case "set":
      return false;
    case "assert":
      return node.what === "start";
    case "group":
      return isAnchored(node.body);
    case "sequence":
      return node.parts.length > 0 && isAnchored(node.parts[0]);
    case "choice":
      return node.options.every(isAnchored);
    case "repeat":
      return false;
  }
}

/**
 * Whether, after every character, at most one place in the expression can take the next one (Glushkov's
 * automaton is deterministic, every repetition that may go round being taken for an endless one).
 */
function isDeterministic(root: RegexNode): boolean {
  const positions: CodePoints[] = [];
  const following: number[][] = [];
  let isPlain = true;

  interface Ends {
    first: number[];
    last: number[];
    mayBeEmpty: boolean;
  }
  function visit(node: RegexNode): Ends {
    switch (node.kind) {
      case "set": {
        const position = positions.push(node.points) - 1;
        following.push([]);
        return { first: [position], last: [position], mayBeEmpty: false };
      }
      case "assert":
        return { first: [], last: [], mayBeEmpty: true };
      case "group":
        return visit(node.body);
      case "sequence":
        return node.parts.reduce<Ends>((before, part) => {
          const next = visit(part);
          link(before.last, next.first);
          return {
            first: before.mayBeEmpty ? [...before.first, ...next.first] : before.first,
            last: next.mayBeEmpty ? [...before.last, ...next.last] : next.last,
            mayBeEmpty: before.mayBeEmpty && next.mayBeEmpty,
          };
        }, { first: [], last: [], mayBeEmpty: true });
      case "choice": {
        const options = node.options.map(visit);
        // Two ways to take nothing: only their number tells which one was gone.
        if (options.filter(({ mayBeEmpty }) => mayBeEmpty).length > 1) isPlain = false;
        return {
          first: options.flatMap(({ first }) => first),
          last: options.flatMap(({ last }) => last),
          mayBeEmpty: options.some(({ mayBeEmpty }) => mayBeEmpty),
        };
      }
      case "repeat": {
        const body = visit(node.body);
        if (node.max > 1) {
          // Which of the rounds took nothing can be chosen in very many ways.
          if (body.mayBeEmpty) isPlain = false;
          link(body.last, body.first);
        }
        return { ...body, mayBeEmpty: body.mayBeEmpty || node.min === 0 };
      }
    }
  }
  function link(from: number[], to: number[]): void {
    for (const position of from) following[position].push(...to);
  }

  const { first } = visit(root);
  if (!isPlain || positions.length > MAX_POSITIONS) return false;
  return [first, ...following].every((next) => areDisjoint(next.map((position) => positions[position])));
}

function areDisjoint(sets: CodePoints[]): boolean {
  const ranges: [number, number][] = [];
  for (const points of sets) {
    for (let i = 0; i < points.length; i += 2) ranges.push([points[i], points[i + 1]]);
  }
  ranges.sort((a, b) => a[0] - b[0]);
  return ranges.every(([from], index) => index === 0 || from > ranges[index - 1][1]);
}
