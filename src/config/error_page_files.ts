/** The files of `[error_pages]`: read when the configuration is checked, so that a bad one is found then. */
import { quote } from "./problem.ts";
import { errorPagesSchema } from "./sections/error_pages.ts";
import { MAX_PAGE_BYTES } from "./text_values.ts";
import { type Finding, type Table, valueAt } from "./tree.ts";

export interface ErrorPageFiles {
  /** By path. */
  texts: ReadonlyMap<string, string>;
  findings: Finding[];
}

/** Reads every file that a page names. A section that is wrong in itself is passed over. */
export async function readErrorPageFiles(tree: Table): Promise<ErrorPageFiles> {
  const outcome = errorPagesSchema.safeParse(valueAt(tree, ["error_pages"]) ?? {});
  const texts = new Map<string, string>();
  const findings: Finding[] = [];
  if (!outcome.success) return { texts, findings };
  for (const [index, { file }] of outcome.data.pages.entries()) {
    if (file === undefined) continue;
    try {
      texts.set(file, await readPage(file));
    } catch (fault) {
      const reason = fault instanceof Error ? fault.message : String(fault);
      findings.push({
        severity: "error",
        path: ["error_pages", "pages", index, "file"],
        at: "value",
        message: `cannot use ${quote(file)}: ${reason}`,
      });
    }
  }
  return { texts, findings };
}

/** @throws Error if it cannot be read, is too long or no text */
async function readPage(path: string): Promise<string> {
  const { size, isFile } = await Deno.stat(path);
  if (!isFile) throw new Error("it is no file");
  if (size > MAX_PAGE_BYTES) throw new Error(`it has ${size} bytes, wanted at most ${MAX_PAGE_BYTES}`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
  } catch (fault) {
    if (fault instanceof TypeError) throw new Error("it is not UTF-8");
    throw fault;
  }
}
