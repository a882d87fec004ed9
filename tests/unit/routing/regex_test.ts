import assert from "node:assert/strict";
import fc from "fast-check";
import { parseRegex, type Regex, type RegexNode } from "../../../src/config/regex_syntax.ts";
import { lengthForBacktracking, toJavaScript } from "../../../src/routing/regex/backtracking.ts";
import { Machine } from "../../../src/routing/regex/machine.ts";
import { Matcher } from "../../../src/routing/regex/matcher.ts";
import { compileProgram } from "../../../src/routing/regex/program.ts";

function regexOf(text: string): Regex {
  const parsed = parseRegex(text);
  assert.ok(parsed.ok, `${text}: ${parsed.ok ? "" : parsed.wanted}`);
  return parsed.value;
}

function machineOf(text: string): Machine {
  return new Machine(compileProgram(regexOf(text)));
}

/** A group that takes nothing in a repetition is where engines may choose differently. */
function repeatsEmpty(node: RegexNode): boolean {
  switch (node.kind) {
    case "set":
    case "assert":
      return false;
    case "group":
      return repeatsEmpty(node.body);
    case "sequence":
      return node.parts.some(repeatsEmpty);
    case "choice":
      return node.options.some(repeatsEmpty);
    case "repeat":
      return mayBeEmpty(node.body) || repeatsEmpty(node.body);
  }
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

const { pattern: patterns } = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom("a", "b", "c", ".", "[ab]", "[^a]", "\\w", "\\W", "-", "ä", "[b-]", "𝒳"),
    tie("pattern").map((text) => `(${text})`),
    tie("pattern").map((text) => `(?:${text})`),
  ),
  pattern: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: tie("atom") },
      { weight: 1, arbitrary: fc.constantFrom("^", "$", "\\b", "\\B", "|") },
      {
        weight: 2,
        arbitrary: fc.tuple(
          tie("atom"),
          fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "{0,}", "*?", "+?", "??"),
        )
          .map((parts) => parts.join("")),
      },
    ),
    { maxLength: 4 },
  ).map((parts) => parts.join("")),
}));
const subjects = fc.array(fc.constantFrom("a", "b", "c", "-", "ä", "𝒳", "\n"), { maxLength: 7 })
  .map((characters) => characters.join(""));

Deno.test("the machine finds the same matches and groups as the runtime's engine", () => {
  fc.assert(
    fc.property(
      patterns.filter((text) => text !== ""),
      fc.array(subjects, { minLength: 1, maxLength: 5 }),
      (text, texts) => {
        const regex = regexOf(text);
        const machine = new Machine(compileProgram(regex));
        const runtime = new RegExp(toJavaScript(regex.root), "dv");
        for (const subject of texts) {
          // V8 finds an empty match of \B between the two halves of one character.
          if (text.includes("\\B") && subject.includes("𝒳")) continue;
          const expected = runtime.exec(subject);
          assert.equal(machine.test(subject), expected !== null, `${text} on ${subject}`);
          if (repeatsEmpty(regex.root)) continue;
          const found = machine.find(subject, 0);
          assert.deepEqual(
            found === null ? null : [...found],
            expected?.indices?.flatMap((range) => range ?? [-1, -1]) ?? null,
            `${text} on ${subject}`,
          );
        }
      },
    ),
    { numRuns: 1500 },
  );
});

Deno.test("a regular expression is read as JavaScript reads it", () => {
  fc.assert(
    fc.property(patterns.filter((text) => text !== ""), subjects, (text, subject) => {
      // What V8 gets wrong with the flag `u`.
      fc.pre(!subject.includes("𝒳"));
      assert.equal(
        new RegExp(toJavaScript(regexOf(text).root), "v").test(subject),
        new RegExp(text, "su").test(subject),
      );
    }),
    { numRuns: 1000 },
  );
});

/** Texts that match and texts that do not. */
const meanings: [pattern: string, yes: string[], no: string[]][] = [
  ["^/api/v[0-9]+$", ["/api/v1", "/api/v23"], ["/api/v", "/x/api/v1", "/api/v1/"]],
  ["(?i)^/Admin", ["/admin", "/ADMIN/x"], ["/x"]],
  ["(?i)[^a]", ["b"], ["a", "A"]],
  ["^a.b$", ["a\nb", "a\u2028b", "axb"], ["ab"]],
  ["^\\x41\\u0042\\x{43}\\u{1f600}$", ["ABC😀"], ["ABC"]],
  ["^[\\]a]$|^[]x]$", ["]", "a", "x"], ["b"]],
  ["^[\\w.-]+$", ["a-b.c_9"], ["a b"]],
  ["^\\d{2,3}$", ["12", "123"], ["1", "1234"]],
  ["\\Aab\\z", ["ab"], ["abc", "xab"]],
  ["\\bbot\\b", ["a bot", "bot/1"], ["robots"]],
  ["\\.(css|js)$", ["/a.js"], ["/ajs", "/a.js.map"]],
  ["^(?P<a>x)(?<b>y)$", ["xy"], ["yx"]],
  ["a{0}b", ["b", "ab"], ["a"]],
  ["^\\t\\{\\}\\/$", ["\t{}/"], ["t{}/"]],
];

for (const [pattern, yes, no] of meanings) {
  Deno.test(`the expression ${pattern} means what it says, with both engines`, () => {
    const matcher = new Matcher(pattern);
    const machine = machineOf(pattern);
    for (const text of yes) assert.deepEqual([matcher.test(text), machine.test(text)], [true, true], text);
    for (const text of no) assert.deepEqual([matcher.test(text), machine.test(text)], [false, false], text);
  });
}

const refused: [pattern: string, reason: string][] = [
  ["", "a regular expression of 1 to 1000 characters"],
  ["a".repeat(1001), "a regular expression of 1 to 1000 characters"],
  ["(a", "a regular expression: this group is not closed (character 1)"],
  ["a)", "a regular expression: this ) closes nothing (character 2)"],
  ["[a", "a regular expression: this [ is not closed (character 1)"],
  ["[]", "a regular expression: this [ is not closed (character 1)"],
  ["*a", "a regular expression: there is nothing to repeat (character 1)"],
  ["a**", "a regular expression: there is a second repetition for the same thing (character 3)"],
  ["a+{2}", "a regular expression: there is a second repetition for the same thing (character 3)"],
  ["^*", "a regular expression: ^, $ and \\b cannot be repeated (character 2)"],
  ["a{2,1}", "a regular expression: the counts are the wrong way round (character 2)"],
  ["a{1001}", "a regular expression: at most 1000 repetitions can be counted (character 2)"],
  ["a{x}", "a regular expression: { begins no {n}, {n,} or {n,m}; itself it is written \\{ (character 2)"],
  ["{", "a regular expression: { itself is written \\{ (character 1)"],
  ["(?=a)", "a regular expression: lookahead and lookbehind are not understood (character 1)"],
  ["x(?<!a)", "a regular expression: lookahead and lookbehind are not understood (character 2)"],
  ["(a)\\1", "a regular expression: backreferences are not understood (character 4)"],
  ["(?<n>a)\\k<n>", "a regular expression: backreferences are not understood (character 8)"],
  [
    "a(?i)b",
    "a regular expression: of the groups with ? only (?:…), (?<name>…) and a first (?i) are understood (character 2)",
  ],
  ["(?<a>x)(?<a>y)", "a regular expression: there are two groups called a (character 8)"],
  ["(?<1>x)", "a regular expression: a group's name is 1 to 32 letters, digits or _ (character 1)"],
  ["\\p{L}", "a regular expression: \\p is not understood (character 1)"],
  ["\\", "a regular expression: a \\ at the end stands for nothing (character 1)"],
  ["\\x4", "a regular expression: 2 hexadecimal digits are missing (character 1)"],
  ["\\u{110000}", "a regular expression: there is no such character (character 1)"],
  ["[b-a]", "a regular expression: the range is the wrong way round (character 3)"],
  ["[a-\\d]", "a regular expression: a - between sets is no range (character 3)"],
  ["[[:alpha:]]", "a regular expression: [ inside [ ] is written \\[ (character 2)"],
  ["(".repeat(60) + ")".repeat(60), "a regular expression: groups are nested too deep (character 51)"],
  ["(a{100}){100}", "a smaller regular expression: its repetitions make it too large"],
];

Deno.test("what is no regular expression, or one that cannot be bounded, is refused with the place", () => {
  for (const [pattern, reason] of refused) {
    const parsed = parseRegex(pattern);
    assert.equal(parsed.ok ? "accepted" : parsed.wanted, reason, pattern);
  }
});

/** Each takes a backtracking engine exponential time, or time that grows with a high power of the length. */
const explosive = [
  "(a+)+$",
  "^(a+)+$",
  "(a|a)*$",
  "(a|aa)+$",
  "([a-z]+)*x",
  "(.*)*x",
  "(a*)*b",
  "^(\\w+\\s?)+$",
  ".*.*.*.*=.*",
  "(a?){30}a{30}",
  "^(a?){30}b",
  "a?".repeat(40) + "a".repeat(40),
  "^(a?a?)*b",
  "(x+x+)+y",
  "^((a|b)*)*c",
  "(a{1,15}){1,15}b",
];

Deno.test("expressions that explode are not given to the backtracking engine but for short texts", () => {
  for (const pattern of explosive) {
    const length = lengthForBacktracking(regexOf(pattern).root);
    assert.ok(length < 40, `${pattern}: ${length}`);
  }
});

// If these were not bounded, the test would not end.
Deno.test("expressions that explode end on a whole header line", () => {
  const texts = ["a".repeat(16_000) + "!", "ab ".repeat(5000), "x".repeat(16_000)];
  for (const pattern of explosive) {
    const matcher = new Matcher(pattern);
    for (const text of texts) matcher.test(text);
  }
  assert.equal(new Matcher("^(a+)+$").test("a".repeat(16_000)), true);
  assert.equal(new Matcher("^(a+)+$").test("a".repeat(16_000) + "!"), false);
});

Deno.test("common expressions are given to the runtime's engine whatever the text", () => {
  for (
    const pattern of [
      "^/api/v[0-9]+/",
      "\\.(css|js|png)$",
      "^/users/([^/]+)/posts/([^/]+)$",
      "(?i)(bot|crawler|spider)",
      "^[a-z0-9-]+\\.example\\.com$",
      "^(?:/[a-z]+)+$",
    ]
  ) assert.equal(lengthForBacktracking(regexOf(pattern).root), Infinity, pattern);
});

Deno.test("a quadratic expression is given to the runtime's engine while that is quick", () => {
  const length = lengthForBacktracking(regexOf("Mozilla.*Firefox").root);
  assert.ok(length > 100 && length < 1000, `${length}`);
});

Deno.test("a group that took no part in the last round of a repetition matched nothing", () => {
  assert.deepEqual([...machineOf("^(?:(a)|(b))+$").find("ab", 0) ?? []], [0, 2, -1, -1, 1, 2]);
});

Deno.test("a replacement refers to groups by number and name, and replaces every match", () => {
  for (
    const [pattern, replacement, text, wanted] of [
      ["^/old/(.*)$", "/new/$1", "/old/a/b", "/new/a/b"],
      ["(?<year>[0-9]{4})-(\\d+)", "$2/$<year>$$", "2024-05 2025-06", "05/2024$ 06/2025$"],
      ["b*", "-", "abc", "-a--c-"],
      ["(a)|(b)", "[$1$2$0]", "abx", "[aa][bb]x"],
      // Not for the backtracking engine.
      ["(a+)+b", "<$0>", "x" + "a".repeat(300) + "b!", "x<" + "a".repeat(300) + "b>!"],
      ["^/(.*)/x/(.*)$", "/$2/$1", `/${"q/".repeat(400)}x/z`, `/z/${"q/".repeat(400).slice(0, -1)}`],
    ]
  ) {
    const matcher = new Matcher(pattern);
    assert.equal(matcher.replace(text, matcher.replacement(replacement)), wanted, pattern);
  }
});
