/** Links in the documents: to files and headings that are there. */
import { join, posix } from "node:path";

/** @returns one complaint for each link that leads nowhere */
export async function linkProblems(root: string, documents: Map<string, string>): Promise<string[]> {
  const problems: string[] = [];
  for (const [path, text] of documents) {
    const plain = withoutCode(text);
    for (const [, target] of plain.matchAll(/\]\(\s*<?([^)>\s]+)>?(?:\s+"[^"]*")?\s*\)/g)) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
      const [file, anchor] = target.split("#", 2);
      const linked = file === "" ? path : posix.normalize(posix.join(posix.dirname(path), file));
      if (!await exists(join(root, linked))) {
        problems.push(`${path} links to ${target}: there is no ${linked}`);
      } else if (anchor !== undefined && linked.endsWith(".md")) {
        const headings = anchorsOf(documents.get(linked) ?? await Deno.readTextFile(join(root, linked)));
        if (!headings.has(decodeURIComponent(anchor))) {
          problems.push(`${path} links to ${target}: ${linked} has no such heading`);
        }
      }
    }
  }
  return problems;
}

function withoutCode(text: string): string {
  return text.replace(/^( *)```.*?^\1```$/gms, "").replace(/`[^`\n]*`/g, "");
}

/** As GitHub makes them: the second of the same name gets -1. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of text.replace(/^( *)```.*?^\1```$/gms, "").matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const anchor = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`;
    anchors.add(unique);
  }
  for (const [, name] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(name);
  return anchors;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return false;
    throw fault;
  }
}
