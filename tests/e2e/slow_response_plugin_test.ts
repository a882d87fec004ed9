/** A plugin that takes its time over an answer whose body is there already. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Dispa } from "../support/dispa.ts";
import { targetsToml } from "../support/targets.ts";
import { fromLatin1, RawUpstream, writeAll } from "../support/upstream.ts";

const PLUGIN = '#!/bin/sh\nread -r input\nsleep 0.5\necho \'{"set_headers":{"x-late":"1"}}\'\n';
const BODY_AFTER_MS = 200;
const HEAD = "HTTP/1.1 201 Made\r\n";
/** The body comes after the header has been given to the plugin, and while that is at work. */
const PIECES = {
  "chunks": [`${HEAD}transfer-encoding: chunked\r\n\r\n`, "5\r\nhello\r\n0\r\n\r\n"],
  "a length": [`${HEAD}content-length: 5\r\n\r\n`, "hello"],
};

for (const [framing, pieces] of Object.entries(PIECES)) {
  Deno.test(`the body of an answer in ${framing} ends before a plugin has looked at it: recorded once, with its status`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "dispa-plugin-" });
    try {
      const exec = join(folder, "late.sh");
      await Deno.writeTextFile(exec, PLUGIN, { mode: 0o755 });
      await using upstream = new RawUpstream(() => async (socket) => {
        for (const piece of pieces) {
          await writeAll(socket, fromLatin1(piece));
          await new Promise((resolve) => setTimeout(resolve, BODY_AFTER_MS));
        }
      });
      await using dispa = await Dispa.start({
        toml: targetsToml([upstream], {
          more: '[plugins]\nenabled = true\n[[plugins.plugins]]\nname = "late"\ntype = "command"\n' +
            `stage = "response"\nconfig = { exec = "${exec}", timeout_ms = 10000 }\n`,
        }),
      });
      const answer = await dispa.fetch("example.com");
      assert.deepEqual([answer.status, await answer.text()], [201, "hello"]);
      assert.equal(
        await dispa.metric('dispa_requests_total{domain="example.com",method="GET",status="201"}'),
        1,
      );
      await dispa.stop("SIGTERM");
      assert.deepEqual(
        dispa.records().map(({ status_code, response_size }) => [status_code, response_size]),
        [
          [201, 5],
        ],
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
