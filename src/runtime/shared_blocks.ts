/**
 * Memory that one part of the configuration shares between all proxy threads: the buckets of a rate limit,
 * the counter of a plugin. It outlives reloads that leave that part as it is. Control thread only.
 */

/** What a part of the configuration asks for. */
export interface SharedNeed {
  /** Unique, e.g. `plugin:limit-global`. */
  key: string;
  bytes: number;
  /** The settings that the memory's content belongs to: with others it starts as zeros again. */
  settings: unknown;
}

/** What proxy threads get: memory by key. */
export type SharedBuffers = Readonly<Record<string, SharedArrayBuffer>>;

interface Block {
  identity: string;
  buffer: SharedArrayBuffer;
}

/** The blocks of one generation: never changed, only replaced. */
export class SharedBlocks {
  readonly #blocks: ReadonlyMap<string, Block>;

  constructor(needs: readonly SharedNeed[], previous: SharedBlocks | null = null) {
    const blocks = new Map<string, Block>();
    for (const { key, bytes, settings } of needs) {
      if (bytes === 0) continue;
      const identity = JSON.stringify([bytes, settings]);
      const kept = previous === null ? undefined : previous.#blocks.get(key);
      blocks.set(
        key,
        kept?.identity === identity ? kept : { identity, buffer: new SharedArrayBuffer(bytes) },
      );
    }
    this.#blocks = blocks;
  }

  get buffers(): SharedBuffers {
    return Object.fromEntries([...this.#blocks].map(([key, { buffer }]) => [key, buffer]));
  }
}
