import assert from "node:assert/strict";
import { CertificateChooser } from "../../../src/proxy/tls_keys.ts";

const pair = (name: string) => ({ cert: name, key: name });

Deno.test("a client gets the most specific certificate for the name it asks for, else the default", () => {
  const chooser = new CertificateChooser({
    default: pair("default"),
    byDomain: [
      { domain: "*.example.com", ...pair("wild") },
      { domain: "shop.example.com", ...pair("shop") },
      { domain: "*.shop.example.com", ...pair("below shop") },
    ],
  });
  const chosen = (name: string) => chooser.choose(name).cert;
  assert.equal(chosen("shop.example.com"), "shop");
  assert.equal(chosen("SHOP.Example.com."), "shop");
  assert.equal(chosen("a.example.com"), "wild");
  assert.equal(chosen("a.shop.example.com"), "below shop");
  assert.equal(chosen("example.com"), "default");
  assert.equal(chosen("evilexample.com"), "default");
  assert.equal(chosen(""), "default");
});
