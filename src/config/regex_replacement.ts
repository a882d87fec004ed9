/** What takes the place of a regular expression's match: text with `$1`, `$<name>`, and `$$` for a dollar. */
import type { Parsed } from "./fields.ts";
import type { Regex } from "./regex_syntax.ts";

/** Text and numbers of groups; a group that took no part is empty. */
export type Replacement = readonly (string | number)[];

export function parseReplacement(text: string, regex: Regex): Parsed<Replacement> {
  const parts: (string | number)[] = [];
  const reference = /\$(?:(\$)|([0-9]{1,2})|<([^>]*)>)?/g;
  let kept = 0;
  for (const found of text.matchAll(reference)) {
    const [whole, dollar, number, name] = found;
    parts.push(text.slice(kept, found.index));
    kept = found.index + whole.length;
    if (dollar !== undefined) {
      parts.push("$");
    } else if (number !== undefined) {
      if (Number(number) > regex.groups) {
        const there = regex.groups === 1 ? "1 group" : `${regex.groups} groups`;
        return { ok: false, wanted: `no $${number}, because the pattern has ${there}` };
      }
      parts.push(Number(number));
    } else {
      const index = name === undefined ? undefined : regex.names.get(name);
      if (index === undefined) {
        return name === undefined
          ? { ok: false, wanted: "$1, $<name> or $$ wherever there is a $" }
          : { ok: false, wanted: `no $<${name}>, because the pattern has no group of that name` };
      }
      parts.push(index);
    }
  }
  parts.push(text.slice(kept));
  return { ok: true, value: parts.filter((part) => part !== "") };
}
