/**
 * The configuration file as text with its secrets masked, and back. Comments, order and layout stay. A mask
 * carries a fingerprint of its secret, so that it is known again wherever the entry has moved to; it is only
 * taken back under the same key, so that nobody can have a secret sent to where it can be read.
 */
import type { AST } from "toml-eslint-parser";
import { isSecret, shapeOf, soundsSecret } from "./secret_keys.ts";
import { type Path, pathKey } from "./problem.ts";
import { MASK, redactUrl } from "./redact.ts";
import { TextEdits } from "./text_edits.ts";
import { MAX_DEPTH } from "./tree.ts";

/** A short name of a secret that tells nothing about it, as hexadecimal digits. */
export type Fingerprint = (secret: string) => string;

/** A masked value that stands for nothing we know. */
export interface UnknownMask {
  /** Offset in the text. */
  offset: number;
  path: Path;
}

interface Value {
  path: Path;
  /** What it says; the raw text for what is no string. */
  text: string;
  isString: boolean;
  start: number;
  end: number;
}

interface Comment {
  text: string;
  start: number;
  end: number;
}

/** A place in the text that is or would be masked. */
interface Masked {
  /** What must be the same for a mask to stand for it. */
  shape: string;
  /** What stands between the quotation marks, or the whole comment, when masked. */
  shown: string;
  /** What stands in the file, quotation marks included. */
  raw: string;
  start: number;
  end: number;
}

/** The text with all secrets masked; null for text that is not valid TOML. */
export async function maskSecrets(text: string, fingerprint: Fingerprint): Promise<string | null> {
  const document = await readDocument(text);
  if (document === null) return null;
  const edits = new TextEdits(text);
  for (const masked of secretsOf(document, text, fingerprint)) {
    edits.replace(masked.start, masked.end, masked.shape === COMMENT ? masked.shown : quoted(masked.shown));
  }
  return edits.text();
}

/**
 * The inverse of `maskSecrets`, for a text that has been edited since: each mask gives way to what `current`
 * has in its place. Returns null for text that is not valid TOML, which then is not to be used anyway.
 */
export async function unmaskSecrets(
  text: string,
  current: string,
  fingerprint: Fingerprint,
): Promise<{ edits: TextEdits; unknown: UnknownMask[] } | null> {
  const document = await readDocument(text);
  if (document === null) return null;
  const edits = new TextEdits(text);
  const unknown: UnknownMask[] = [];
  if (!text.includes(MASK)) return { edits, unknown };

  const currentDocument = await readDocument(current);
  const originals = new Map<string, string>();
  if (currentDocument !== null) {
    for (const { shape, shown, raw } of secretsOf(currentDocument, current, fingerprint)) {
      originals.set(originalKey(shape, shown), raw);
    }
  }
  for (const value of document.values) {
    if (!value.isString || !value.text.includes(MASK)) continue;
    const raw = originals.get(originalKey(shapeOf(value.path), value.text));
    if (raw === undefined) unknown.push({ offset: value.start, path: value.path });
    else edits.replace(value.start, value.end, raw);
  }
  for (const comment of document.comments) {
    const raw = originals.get(originalKey(COMMENT, comment.text));
    if (comment.text.includes(MASK) && raw !== undefined) edits.replace(comment.start, comment.end, raw);
  }
  return { edits, unknown };
}

/** Every string in which `${NAME}` stands, with the shape of its place: what a text takes from the environment. */
export async function variableUses(text: string): Promise<Set<string>> {
  const document = await readDocument(text);
  return new Set(
    (document?.values ?? []).filter((value) => value.isString && value.text.includes("${"))
      .map((value) => originalKey(shapeOf(value.path), value.text)),
  );
}

/**
 * A copy of plain data, such as the effective configuration, with all secrets masked.
 * @param alsoSecret values from elsewhere, e.g. of environment variables, that must not show either
 */
export function maskTree(tree: unknown, alsoSecret: readonly string[] = []): unknown {
  function mask(value: unknown, path: Path): unknown {
    if (Array.isArray(value)) return value.map((entry, index) => mask(entry, [...path, index]));
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, entry]) => [key, mask(entry, [...path, key])]),
      );
    }
    if (value === undefined || value === null || value === "" || typeof value === "boolean") return value;
    if (isSecret(path, (at) => textAt(tree, at))) return MASK;
    if (typeof value !== "string") return value;
    return alsoSecret.some((secret) => value.includes(secret)) ? MASK : redactUrl(value);
  }
  return mask(tree, []);
}

function textAt(tree: unknown, path: Path): string | null {
  let value = tree;
  for (const segment of path) {
    value = typeof value === "object" && value !== null
      ? (value as Record<string | number, unknown>)[segment]
      : null;
  }
  return typeof value === "string" ? value : null;
}

const COMMENT = "#";

function originalKey(shape: string, shown: string): string {
  return `${shape}\n${shown}`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function secretsOf(document: Document, text: string, fingerprint: Fingerprint): Masked[] {
  const texts = new Map(
    document.values.filter(({ isString }) => isString).map((value) => [
      pathKey(value.path),
      value.text,
    ]),
  );
  const found: Masked[] = [];
  for (const value of document.values) {
    const shown = isSecret(value.path, (path) => texts.get(pathKey(path)) ?? null)
      ? hidden(value, fingerprint)
      : value.isString
      ? maskedUrl(value.text, fingerprint)
      : value.text;
    if (shown === value.text) continue;
    found.push({
      shape: shapeOf(value.path),
      shown,
      raw: text.slice(value.start, value.end),
      start: value.start,
      end: value.end,
    });
  }
  for (const comment of document.comments) {
    const shown = maskedComment(comment.text, fingerprint);
    if (shown !== comment.text) found.push({ shape: COMMENT, shown, raw: comment.text, ...comment });
  }
  return found;
}

/** A reference to the environment says where the secret is, not what it is. */
const ONLY_A_VARIABLE = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/;

function hidden({ text, isString }: Value, fingerprint: Fingerprint): string {
  if (text === "" || ONLY_A_VARIABLE.test(text)) return text;
  if (!isString && /^(?:true|false)$/.test(text)) return text;
  return MASK + fingerprint(text);
}

function maskedUrl(text: string, fingerprint: Fingerprint): string {
  const redacted = redactUrl(text);
  if (redacted === text || /:\/\/[^:@/]*:\$\{[A-Za-z_][A-Za-z0-9_]*\}@[^@]*$/.test(text)) return text;
  return redacted.replaceAll(MASK, () => MASK + fingerprint(text));
}

/** A setting that is commented out keeps its secret as well as any other. */
function maskedComment(comment: string, fingerprint: Fingerprint): string {
  const masked = comment.replace(
    /(["']?)([A-Za-z0-9_.-]+)\1(\s*=\s*)(\S.*)$/,
    (whole, quote: string, name: string, equals: string, value: string) => {
      const secret = soundsSecret(name) || /(?:^|\.)(?:valid_)?keys$/.test(name);
      return secret ? `${quote}${name}${quote}${equals}${MASK}${fingerprint(value)}` : whole;
    },
  );
  return masked.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s"']*/gi, (url) => maskedUrl(url, fingerprint));
}

interface Document {
  values: Value[];
  comments: Comment[];
}

async function readDocument(text: string): Promise<Document | null> {
  const { parseTOML } = await import("toml-eslint-parser");
  let program: AST.TOMLProgram;
  try {
    program = parseTOML(text, { tomlVersion: "1.1" });
  } catch (_error) {
    // Whatever its fault is, the parser that reads the configuration says it with more words.
    return null;
  }
  const values: Value[] = [];
  for (const node of program.body[0].body) {
    if (node.type === "TOMLKeyValue") visitPair([], node);
    else for (const pair of node.body) visitPair(node.resolvedKey, pair);
  }
  const comments = program.comments.map(({ range: [start, end] }) => ({
    text: text.slice(start, end),
    start,
    end,
  }));
  return { values, comments };

  function visitPair(parent: Path, pair: AST.TOMLKeyValue): void {
    const names = pair.key.keys.map((key) => key.type === "TOMLBare" ? key.name : key.value);
    visit([...parent, ...names], pair.value);
  }

  function visit(path: Path, node: AST.TOMLContentNode): void {
    if (path.length > MAX_DEPTH) return;
    if (node.type === "TOMLInlineTable") {
      for (const pair of node.body) visitPair(path, pair);
    } else if (node.type === "TOMLArray") {
      node.elements.forEach((element, index) => visit([...path, index], element));
    } else {
      const [start, end] = node.range;
      const isString = node.kind === "string";
      const raw = text.slice(start, end);
      values.push({ path, text: isString ? String(node.value) : raw, isString, start, end });
    }
  }
}
