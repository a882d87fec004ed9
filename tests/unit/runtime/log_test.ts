import assert from "node:assert/strict";
import { Logger } from "../../../src/runtime/log.ts";

function lines(format: "text" | "json", use: (logger: Logger) => void): string[] {
  const written: string[] = [];
  use(new Logger({ level: "info", format, write: (line) => written.push(line) }));
  return written;
}

Deno.test("Logger writes one line an event whatever the message holds", () => {
  const [line, ...more] = lines(
    "text",
    ({ log }) => log("warn", "upstream said\r\nfake line", { a: "x y", b: 1, c: null }),
  );
  assert.equal(more.length, 0);
  assert.match(line, /^\S+ WARN {2}upstream said\\r\\nfake line a="x y" b=1\n$/);
});

Deno.test("Logger writes JSON with its fields beside time, level and message", () => {
  const [line] = lines("json", ({ log }) => log("error", "broken", { target: "one" }));
  const { time, ...rest } = JSON.parse(line);
  assert.ok(!Number.isNaN(Date.parse(time)));
  assert.deepEqual(rest, { level: "error", message: "broken", target: "one" });
});

Deno.test("Logger leaves out what is below its level", () => {
  assert.deepEqual(lines("text", ({ log }) => log("debug", "detail")), []);
});
