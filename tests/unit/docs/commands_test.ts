/** Every command that a document shows is one that there is, with flags that there are. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseFlags, UsageError } from "../../../src/cli/flags.ts";
import { main } from "../../../src/cli/main.ts";
import { RUN_FLAGS } from "../../../src/cli/run_flags.ts";
import { runTraffic } from "../../../src/cli/traffic.ts";
import { ENDPOINTS } from "../../../src/admin/endpoints.ts";
import {
  blocksOf,
  commandsOf,
  dispaArguments,
  DOCUMENTS,
  readDocument,
  ROOT,
  simpleCommands,
} from "../../support/documents.ts";

/** What a reader has, or is told to have: not ours to check. */
const FOREIGN = new Set([
  ...["cd", "cat", "curl", "git", "grep", "head", "install", "kill", "openssl", "sed", "tail", "vi", "act"],
  ...[
    "docker",
    "kubectl",
    "systemctl",
    "journalctl",
    "sysctl",
    "sha256sum",
    "useradd",
    "cp",
    "mkdir",
    "sudo",
    "export",
  ],
]);

/** Folders of the repository that documents name files in. */
const OWN_FILE = /^(?:\.\/)?((?:config|deploy|docs|examples|tests|bench|src|\.ci)\/[\w./-]+)$/;

const { tasks } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json"))) as {
  tasks: Record<string, unknown>;
};

/** Paths on the health and the metrics ports; `{name}` stands for anything. */
const PATHS = [
  ...["/", "/health", "/ready", "/live", "/metrics", "/metrics/json"],
  ...ENDPOINTS.map(({ path }) => path),
];

/** Ends a command of Dispa that has read all its flags. */
class Understood extends Error {}

/** What is wrong with the flags of Dispa; null: nothing. Nothing is run. */
async function problemOfFlags(args: string[]): Promise<string | null> {
  const [command = "run", ...rest] = args;
  try {
    if (command === "traffic") {
      const load = () => Promise.reject(new Understood());
      await runTraffic(rest, { ...SILENT, complain: (message) => assert.fail(message) }, load);
    } else if (command.startsWith("-") && command !== "--version" && command !== "--help") {
      parseFlags(args, RUN_FLAGS);
    } else if (command === "run") {
      parseFlags(rest, RUN_FLAGS);
    } else {
      const code = await exitCode([...args, ...(command.startsWith("--") ? [] : ["--help"])]);
      if (code !== 0) return `ends with ${code}`;
    }
  } catch (fault) {
    if (fault instanceof Understood) return null;
    if (!(fault instanceof UsageError)) throw fault;
    return fault.message;
  }
  return null;
}

const SILENT = { write: () => {}, signal: new AbortController().signal, nowMs: () => Date.now() };

/** The exit code of `main`, whose output nobody needs here. */
async function exitCode(args: string[]): Promise<number> {
  const { log, error } = console;
  const said: unknown[] = [];
  console.log = console.error = (...parts: unknown[]) => said.push(...parts);
  try {
    return await main(args);
  } finally {
    Object.assign(console, { log, error });
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(join(ROOT, path));
    return true;
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return false;
    throw fault;
  }
}

/** What is wrong with a command of a document; null: nothing. */
async function problemOf(words: string[]): Promise<string | null> {
  const args = dispaArguments(words);
  if (args !== null) return await problemOfFlags(args);
  const deno = words[0] === "npx" ? words.slice(2) : words;
  if (/^deno(@[\d.]+)?$/.test(deno[0])) return problemOfDeno(deno.slice(1));
  if (words[0] === "curl") return problemOfUrl(words.find((word) => word.startsWith("http://localhost:")));
  if (!FOREIGN.has(words[0]) && !exists(words[0])) return `no document says what ${words[0]} is`;
  return null;
}

function problemOfDeno(args: string[]): string | null {
  const [command, ...rest] = args;
  if (command !== "task") {
    return ["run", "test", "bundle"].includes(command) ? null : `deno has no ${command} here`;
  }
  const name = rest.find((word) => !word.startsWith("-"));
  return name !== undefined && name in tasks ? null : `deno.json has no task ${name}`;
}

function problemOfUrl(text: string | undefined): string | null {
  if (text === undefined) return null;
  const { port, pathname } = new URL(text);
  if (port === "8080") return null;
  const known = PATHS.some((path) => new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`).test(pathname));
  return known ? null : `there is no ${pathname} on port ${port}`;
}

for (const path of DOCUMENTS) {
  const document = readDocument(path);
  Deno.test(`${path}: every command it shows is there`, async () => {
    for (const { text, line } of commandsOf(document)) {
      for (const words of simpleCommands(text)) {
        const problem = await problemOf(words);
        assert.equal(problem, null, `${path}:${line}: ${text}: ${problem}`);
        for (const word of words) {
          const file = OWN_FILE.exec(word)?.[1];
          // What `init` and the program make, and what a reader gives names to.
          if (file !== undefined && !["config/config.toml"].includes(file)) {
            assert.ok(exists(file), `${path}:${line}: ${text}: there is no ${file}`);
          }
        }
      }
    }
  });

  Deno.test(`${path}: no block of code is without a language or an end`, () => {
    const fences = document.split(/^ *```/m).length - 1;
    assert.equal(blocksOf(document).length * 2, fences, "fences of blocks");
  });
}

/** Commands inside a sentence, such as `dispa validate --strict`; an ellipsis stands for more. */
function inlineCommands(document: string): string[] {
  const prose = document.replace(/^```.*?^```$/gms, "");
  return [...prose.matchAll(/`((?:dispa|deno task) [^`\n]+)`/g)].map(([, text]) => text)
    .filter((text) => !/…|\|/.test(text));
}

for (const path of DOCUMENTS) {
  Deno.test(`${path}: every command inside a sentence is there`, async () => {
    for (const text of inlineCommands(readDocument(path))) {
      const [words] = simpleCommands(text);
      const problem = words[1] === "NAME" ? null : await problemOf(words);
      assert.equal(problem, null, `${path}: ${text}: ${problem}`);
    }
  });
}

Deno.test("the documents' commands are found: those that start Dispa, in each of its ways, and others", () => {
  const all = DOCUMENTS.flatMap((path) => commandsOf(readDocument(path)));
  const starts = all.flatMap(({ text }) => simpleCommands(text)).filter((words) =>
    dispaArguments(words) !== null
  );
  assert.ok(all.length > 100, `${all.length} commands`);
  assert.ok(starts.length > 40, `${starts.length} commands of Dispa`);
  for (const program of ["dispa", "./dist/dispa", "deno"]) {
    assert.ok(starts.some(([first]) => first === program), program);
  }
});

for (
  const [one, other] of [["README.md", "README.zh-CN.md"], ["docs/USER_MANUAL_EN.md", "docs/USER_MANUAL.md"]]
) {
  Deno.test(`${one} and ${other} show the same configurations and commands`, () => {
    const shown = (path: string) => {
      const document = readDocument(path);
      const toml = blocksOf(document).filter(({ language }) => language === "toml").map(({ text }) => text);
      return { toml, commands: commandsOf(document).map(({ text }) => text.replace(/ +/g, " ")) };
    };
    assert.deepEqual(shown(other), shown(one));
  });

  Deno.test(`${other} has the headings of ${one}, level by level`, () => {
    const levels = (path: string) => {
      const plain = readDocument(path).replace(/^```.*?^```$/gms, "");
      return [...plain.matchAll(/^(#+) /gm)].map(([, level]) => level.length);
    };
    assert.deepEqual(levels(other), levels(one));
  });
}
