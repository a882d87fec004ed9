/** What a client would like to get (RFC 9110 section 12.5.1). */

/** Longer fields are not looked at. */
const MAX_ACCEPT_LENGTH = 4096;

/**
 * Whether an Accept field puts JSON before every other type it names; of types it likes the same, the one
 * that stands first. Ranges with an asterisk name no type, so that curl, which asks for anything, gets text.
 */
export function prefersJson(accept: string): boolean {
  if (accept.length > MAX_ACCEPT_LENGTH) return false;
  let bestQuality = 0;
  let isJson = false;
  for (const range of accept.split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    if (!/^[^/\s]+\/[^/\s]+$/.test(type) || type.includes("*")) continue;
    const quality = qualityOf(parameters);
    if (quality <= bestQuality) continue;
    bestQuality = quality;
    isJson = type === "application/json" || type.endsWith("+json");
  }
  return isJson;
}

function qualityOf(parameters: readonly string[]): number {
  const weight = parameters.find((parameter) => parameter.startsWith("q="));
  if (weight === undefined) return 1;
  const quality = Number(weight.slice(2));
  return quality >= 0 && quality <= 1 ? quality : 0;
}
