/** The committed console is that of its sources, and fits the policy that it is served under. */
import assert from "node:assert/strict";
import { isStale } from "../../../../src/admin/console_build.ts";
import { ENGLISH } from "../../../../src/admin/console/messages_en.ts";
import { CHINESE } from "../../../../src/admin/console/messages_zh.ts";
import { CONSOLE_ASSETS } from "../../../../src/admin/console_assets.ts";

function text(name: string): string {
  const { body } = CONSOLE_ASSETS[name];
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}

Deno.test("the committed console is built of the sources as they are (else run: deno task console)", async () => {
  assert.equal(await isStale(), false);
});

Deno.test("the console's page has no inline script, style or handler, and only files of its own", () => {
  const html = text("index.html");
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/i);
  const links = [...html.matchAll(/\s(?:src|href)="([^"]*)"/g)].map(([, link]) => link);
  assert.deepEqual(links.map((link) => link.replace("/admin/assets/", "")).sort(), [
    "app.css",
    "app.js",
    "icon.svg",
  ]);
  for (const link of links) {
    assert.ok(Object.hasOwn(CONSOLE_ASSETS, link.replace("/admin/assets/", "")), link);
  }
  assert.doesNotMatch(text("app.css"), /@import|url\(/);
});

Deno.test("every message has the same placeholders in English and Chinese", () => {
  const placeholders = (message: string) => [...message.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();
  for (const [key, message] of Object.entries(ENGLISH)) {
    assert.deepEqual(placeholders(CHINESE[key as keyof typeof ENGLISH]), placeholders(message), key);
  }
});
