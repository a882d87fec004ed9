/** The documents of the repository, and the commands and blocks that they show. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Paths of all documents for readers. */
export const DOCUMENTS = [
  ...namesOf("").filter((name) => name.endsWith(".md") && name !== "THIRD_PARTY_LICENSES.md"),
  ...namesOf("docs").filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
].sort();

function namesOf(folder: string): string[] {
  return [...Deno.readDirSync(join(ROOT, folder))].map(({ name }) => name);
}

export function readDocument(path: string): string {
  return Deno.readTextFileSync(join(ROOT, path));
}

export interface Block {
  language: string;
  text: string;
  /** Of its first fence. */
  line: number;
}

export function blocksOf(document: string): Block[] {
  return [...document.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text], index, all) => {
    const line = document.slice(0, all[index].index).split("\n").length;
    return { language, text, line };
  });
}

export interface Command {
  /** As a shell would take it, `\`-continued lines joined. */
  text: string;
  line: number;
  /** What the document shows of its output, in a `console` block; null: nothing. */
  output: string | null;
}

/** The commands of the blocks that a reader would type: all lines of `sh`, those after `$ ` of `console`. */
export function commandsOf(document: string): Command[] {
  return blocksOf(document).flatMap(({ language, text, line }): Command[] => {
    const joined = text.replace(/\\\n\s*/g, " ");
    if (language === "sh") {
      return joined.split("\n").map((command) => withoutComment(command).trim()).filter((command) =>
        command !== ""
      )
        .map((command) => ({ text: command, line, output: null }));
    }
    if (language !== "console") return [];
    return joined.split(/^\$ /m).slice(1).map((part) => {
      const end = part.indexOf("\n");
      return { text: withoutComment(part.slice(0, end)).trim(), line, output: part.slice(end + 1).trimEnd() };
    });
  });
}

function withoutComment(line: string): string {
  return line.replace(/(^|\s)#.*$/, "");
}

/** The words of each simple command of a line: what `|`, `&&`, `;`, `&` and `$( )` separate. */
export function simpleCommands(line: string): string[][] {
  const commands: string[][] = [[]];
  let word: string | null = null;
  let quote = "";
  const endWord = () => {
    if (word !== null) commands.at(-1)!.push(word);
    word = null;
  };
  for (let index = 0; index < line.length; index++) {
    const char = line[index];
    if (quote !== "") {
      if (char === quote) quote = "";
      else word = (word ?? "") + char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      endWord();
    } else if (
      /[|&;(){}]/.test(char) && !(char === "{" && line[index - 1] === "$") && !isInVariable(line, index)
    ) {
      endWord();
      commands.push([]);
    } else {
      word = (word ?? "") + char;
    }
  }
  endWord();
  return commands.map(withoutEnvironment).map(withoutRedirects).filter((words) => words.length > 0);
}

/** Whether the brace ends a `${NAME}`. */
function isInVariable(line: string, index: number): boolean {
  return line[index] === "}" && /\$\{\w+$/.test(line.slice(0, index));
}

/** Without what stands before the program, such as `A=1 B=2`. */
function withoutEnvironment(words: string[]): string[] {
  const first = words.findIndex((word) => !/^\w+=/.test(word));
  return first === -1 ? [] : words.slice(first);
}

function withoutRedirects(words: string[]): string[] {
  return words.filter((word, index) => !/^\d?>>?$/.test(word) && !/^\d?>>?$/.test(words[index - 1] ?? ""));
}

/** The arguments of Dispa where the words start it in one of the documents' ways; null: they do something else. */
export function dispaArguments(words: string[]): string[] | null {
  const deno = words[0] === "npx" ? words.slice(words.findIndex((word) => word.startsWith("deno@"))) : words;
  const program = deno[0].replace(/^deno@.*/, "deno");
  if (/^(?:\.\/|\.\/dist\/|dist\/|\/usr\/(?:local\/)?bin\/)?dispa$/.test(program)) return words.slice(1);
  if (program !== "deno") return null;
  const rest = deno.slice(1).filter((word) => word !== "--quiet" && word !== "-q");
  if (rest[0] === "task" && rest[1] === "start") return rest.slice(2);
  const main = rest.indexOf("main.ts");
  return rest[0] === "run" && main !== -1 ? rest.slice(main + 1) : null;
}
