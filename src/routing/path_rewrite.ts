/** The path actions of a rule. */
import type { PathActions } from "../config/model.ts";
import { encodePath, matchingPath } from "../http/path.ts";
import { Matcher } from "./regex/matcher.ts";

/** From a path in its matching form to another one. */
export type PathRewrite = (path: string) => string;

/** @returns null for a rule that leaves the path alone */
export function compilePathRewrite(actions: PathActions): PathRewrite | null {
  const { replacePrefix, replaceSuffix, regexReplace, addPrefix, addSuffix } = actions;
  const steps: PathRewrite[] = [];
  if (replacePrefix !== null) {
    const { pattern, replacement } = replacePrefix;
    steps.push((path) => path.startsWith(pattern) ? replacement + path.slice(pattern.length) : path);
  }
  if (replaceSuffix !== null) {
    const { pattern, replacement } = replaceSuffix;
    steps.push((path) =>
      path.endsWith(pattern) ? path.slice(0, path.length - pattern.length) + replacement : path
    );
  }
  if (regexReplace !== null) {
    const matcher = new Matcher(regexReplace.pattern);
    const replacement = matcher.replacement(regexReplace.replacement);
    steps.push((path) => matcher.replace(path, replacement));
  }
  if (addPrefix !== "" || addSuffix !== "") steps.push((path) => addPrefix + path + addSuffix);
  if (steps.length === 0) return null;
  return (path) => {
    const rewritten = steps.reduce((text, step) => step(text), path);
    return rewritten === path ? path : inMatchingForm(rewritten);
  };
}

/** Pieces put together may begin without a slash, or make `//` and `..` segments that were in neither. */
function inMatchingForm(path: string): string {
  const absolute = path.startsWith("/") ? path : `/${path}`;
  if (!/\/\/|\/\./.test(absolute)) return absolute;
  // Encoded first, percent signs that belong to the path stay what they are.
  const resolved = matchingPath(encodePath(absolute));
  if (resolved === null) throw new TypeError(`the path ${JSON.stringify(absolute)} holds a NUL`);
  return resolved;
}
