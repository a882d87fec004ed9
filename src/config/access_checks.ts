/** Cross-checks of `[security.access_control]` and `[security.rate_limit]`. */
import { formatIpRange, readIpRange } from "./ip_range.ts";
import { formatPath, type Path, showFound } from "./problem.ts";
import { type Finding, isTable, type Table, valueAt } from "./tree.ts";

const ACCESS: Path = ["security", "access_control"];
const LIMIT: Path = ["security", "rate_limit"];

/** Looks at the tree, like the other cross-checks; what the schema refuses is passed over. */
export function accessChecks(tree: Table): Finding[] {
  return [
    ...emptyLists(tree),
    ...clearedBits(tree),
    ...allowedAndDenied(tree),
    ...idleTrust(tree),
    ...missingRate(tree),
    ...idleStoreTimeout(tree),
  ];
}

function finding(severity: Finding["severity"], path: Path, message: string): Finding {
  return { severity, path, at: "value", message };
}

function emptyLists(tree: Table): Finding[] {
  const meanings = {
    allowed_ips: "the list is empty, which lets every client in; leave it out to say so without this warning",
    trusted_proxies: "the list is empty, so that no proxy is believed",
  };
  return Object.entries(meanings).flatMap(([key, message]) => {
    const path = [...ACCESS, key];
    const entries = valueAt(tree, path);
    return Array.isArray(entries) && entries.length === 0 ? [finding("warning", path, message)] : [];
  });
}

/** The ranges of a list in the file, with their paths. */
function rangesAt(tree: Table, key: string): { path: Path; text: string; meant: string }[] {
  const entries = valueAt(tree, [...ACCESS, key]);
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((text: unknown, index) => {
    const range = typeof text === "string" ? readIpRange(text) : null;
    if (typeof text !== "string" || range === null) return [];
    return [{ path: [...ACCESS, key, index], text, meant: formatIpRange(range) }];
  });
}

/** `10.1.2.3/8`: somebody who writes this may think of another range. */
function clearedBits(tree: Table): Finding[] {
  return ["allowed_ips", "denied_ips", "trusted_proxies"].flatMap((key) =>
    rangesAt(tree, key).flatMap(({ path, text, meant }) => {
      const address = readIpRange(text.split("/", 1)[0]);
      if (!text.includes("/") || address === null) return [];
      return formatIpRange(address) === meant.split("/", 1)[0] ? [] : [
        finding(
          "warning",
          path,
          `found ${showFound(text)}, which has bits behind its prefix: it means ${meant}`,
        ),
      ];
    })
  );
}

function allowedAndDenied(tree: Table): Finding[] {
  const allowed = new Map(rangesAt(tree, "allowed_ips").map(({ path, meant }) => [meant, path]));
  return rangesAt(tree, "denied_ips").flatMap(({ path, text, meant }) => {
    const other = allowed.get(meant);
    if (other === undefined) return [];
    return [
      finding(
        "warning",
        path,
        `found ${showFound(text)}, which ${formatPath(other)} allows: the denial wins`,
      ),
    ];
  });
}

function idleTrust(tree: Table): Finding[] {
  const path = [...ACCESS, "trust_proxy_headers"];
  const isOn = valueAt(tree, path) === true;
  const proxies = [...ACCESS, "trusted_proxies"];
  if (!isOn && valueAt(tree, proxies) !== undefined) {
    return [finding("warning", proxies, "plays no part, because trust_proxy_headers is not true")];
  }
  const off = [["security", "enabled"], [...ACCESS, "enabled"]].find((key) => valueAt(tree, key) === false);
  return isOn && off !== undefined
    ? [finding("warning", path, `plays no part, because ${formatPath(off)} is false`)]
    : [];
}

/** A limit that was asked for in part must not be off without a word. */
function missingRate(tree: Table): Finding[] {
  const limit = valueAt(tree, LIMIT);
  if (!isTable(limit) || limit.enabled === false) return [];
  if (limit.rate_per_sec !== undefined || Object.keys(limit).length === 0) return [];
  return [{
    severity: "error",
    path: [...LIMIT, "rate_per_sec"],
    at: "key",
    message: "missing, wanted a number of requests per second, or enabled = false",
  }];
}

function idleStoreTimeout(tree: Table): Finding[] {
  const path = [...LIMIT, "store_timeout"];
  if (valueAt(tree, path) === undefined || valueAt(tree, [...LIMIT, "store"]) !== undefined) return [];
  return [finding("warning", path, "plays no part without store")];
}
