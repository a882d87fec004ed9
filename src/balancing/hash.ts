/** Hashes that spread clients over targets: the same in every thread and every run, not for anything secret. */

const FNV_OFFSET = 0x811c9dc5;

/**
 * FNV-1a over UTF-16 units. Its high bits differ little for similar texts: put the result through `avalanche`.
 * @param seed a hash to go on from, so that the same text has another hash elsewhere
 */
export function hashText(text: string, seed = FNV_OFFSET): number {
  let hash = seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

/** MurmurHash3's finalizer, 0 to 2^32 - 1: each bit of the input changes each bit with probability 1/2. */
export function avalanche(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
