import assert from "node:assert/strict";
import { prefersJson } from "../../../src/http/accept.ts";

const CASES: [accept: string, json: boolean][] = [
  ["application/json", true],
  ["Application/Problem+JSON", true],
  ["application/json, text/plain, */*", true],
  ["text/html, application/json", false],
  ["text/html;q=0.8, application/json", true],
  ["text/html, application/json;q=0.9", false],
  ["application/vnd.api+json;q=0.5, text/html;q=0.4", true],
  ["application/json;q=0", false],
  ["application/json;q=2, text/html;q=0.1", false],
  ["application/json;charset=utf-8;q=1", true],
  ["*/*", false],
  ["application/*", false],
  ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false],
  ["", false],
  [",;,/ , json", false],
  [`application/json${" ".repeat(5000)}`, false],
];

for (const [accept, json] of CASES) {
  Deno.test(`a client that accepts ${JSON.stringify(accept.slice(0, 80))} gets ${json ? "JSON" : "text"}`, () => {
    assert.equal(prefersJson(accept), json);
  });
}
