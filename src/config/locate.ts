/**
 * Where keys and values stand in the file. The parser that keeps positions is ten times slower than the one
 * that reads the configuration, so it is loaded only when there is something to point at.
 */
import type { AST } from "toml-eslint-parser";
import { type Path, pathKey } from "./problem.ts";
import { MAX_DEPTH } from "./tree.ts";

/** From 1. */
export interface Position {
  line: number;
  column: number;
}

/** Positions by path; for what is not in the file, the position of the table it is missing in. */
export interface Locator {
  key(path: Path): Position;
  value(path: Path): Position;
}

/** @returns null for text the second parser does not take: then problems are told without a position */
export async function createLocator(text: string): Promise<Locator | null> {
  const { parseTOML } = await import("toml-eslint-parser");
  let program: AST.TOMLProgram;
  try {
    program = parseTOML(text, { tomlVersion: "1.1" });
  } catch (_error) {
    // The first parser has accepted the text; a position is not worth refusing it.
    return null;
  }
  const keys = new Map<string, Position>();
  const values = new Map<string, Position>();
  const note = (map: Map<string, Position>, path: Path, { start }: AST.SourceLocation) => {
    if (!map.has(pathKey(path))) map.set(pathKey(path), { line: start.line, column: start.column + 1 });
  };
  collect(program, (path, key, value) => {
    note(keys, path, key);
    note(values, path, value);
  });
  const find = (map: Map<string, Position>, path: Path): Position => {
    for (let length = path.length; length > 0; length--) {
      const key = pathKey(path.slice(0, length));
      const position = length === path.length ? map.get(key) : keys.get(key);
      if (position !== undefined) return position;
    }
    return { line: 1, column: 1 };
  };
  return { key: (path) => find(keys, path), value: (path) => find(values, path) };
}

type Note = (path: Path, key: AST.SourceLocation, value: AST.SourceLocation) => void;

function collect(program: AST.TOMLProgram, note: Note): void {
  function visitPair(parent: Path, pair: AST.TOMLKeyValue): void {
    const names = pair.key.keys.map((key) => key.type === "TOMLBare" ? key.name : key.value);
    for (let length = 1; length < Math.min(names.length, MAX_DEPTH); length++) {
      note([...parent, ...names.slice(0, length)], pair.key.loc, pair.key.loc);
    }
    const path = [...parent, ...names];
    if (path.length > MAX_DEPTH) return;
    note(path, pair.key.loc, pair.value.loc);
    visitValue(path, pair.value);
  }
  function visitValue(path: Path, value: AST.TOMLContentNode): void {
    if (value.type === "TOMLInlineTable") {
      for (const pair of value.body) visitPair(path, pair);
    } else if (value.type === "TOMLArray") {
      value.elements.forEach((element, index) => {
        note([...path, index], element.loc, element.loc);
        visitValue([...path, index], element);
      });
    }
  }
  for (const node of program.body[0].body) {
    if (node.type === "TOMLKeyValue") {
      visitPair([], node);
      continue;
    }
    for (let length = 1; length <= Math.min(node.resolvedKey.length, MAX_DEPTH); length++) {
      note(node.resolvedKey.slice(0, length), node.key.loc, node.key.loc);
    }
    if (node.resolvedKey.length > MAX_DEPTH) continue;
    for (const pair of node.body) visitPair(node.resolvedKey, pair);
  }
}
