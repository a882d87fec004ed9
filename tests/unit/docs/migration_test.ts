/** The configurations of other proxies in docs/MIGRATION.md are ones that they take. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Authority } from "../../support/certificates.ts";
import { blocksOf, readDocument } from "../../support/documents.ts";
import { requires } from "../../support/skip.ts";
import { withFolder } from "../config/support.ts";

const blocks = blocksOf(readDocument("docs/MIGRATION.md"));

Deno.test("every configuration of another proxy is followed by its equivalent", () => {
  const languages = blocks.map(({ language }) => language);
  const theirs = languages.flatMap((language, index) => language === "toml" ? [] : [languages[index + 1]]);
  assert.ok(theirs.length >= 5);
  assert.ok(theirs.every((next) => next === "toml"), languages.join(" "));
});

Deno.test({
  name: "nginx takes its configurations in docs/MIGRATION.md",
  ...requires("nginx", "/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"),
  fn: async () => {
    await withFolder(async (folder) => {
      const { certPath, keyPath } = await (await Authority.make(folder)).leaf({ names: ["localhost"] });
      const path = join(folder, "nginx.conf");
      for (const { text, line } of blocks.filter(({ language }) => language === "nginx")) {
        const own = text.replace("/etc/dispa/example.com.pem", certPath).replace(
          "/etc/dispa/example.com.key",
          keyPath,
        );
        const pid = `pid ${join(folder, "nginx.pid")};`;
        // Ports below 1024 need rights that a test has not.
        const ports = own.replaceAll("listen 80;", "listen 8080;").replace("listen 443 ", "listen 8443 ");
        await Deno.writeTextFile(path, `${pid}\nevents {}\nhttp {\naccess_log off;\n${ports}}\n`);
        const args = ["-t", "-c", path, "-p", folder, "-e", "stderr"];
        const { code, stderr } = await new Deno.Command("nginx", { args }).output();
        assert.equal(code, 0, `line ${line}: ${new TextDecoder().decode(stderr)}`);
      }
    });
  },
});
