import assert from "node:assert/strict";
import fc from "fast-check";
import { HalfSipHash } from "../../../src/security/half_sip_hash.ts";
import { type BucketSettings, TokenBuckets } from "../../../src/security/token_buckets.ts";
import type { TakeOrder } from "./take_worker.ts";

const START_MS = Date.UTC(2030, 5, 1);

/** Buckets with a clock that stands still unless it is told to move. */
function bucketsAt(settings: Partial<BucketSettings>, memory?: SharedArrayBuffer) {
  const full: BucketSettings = { ratePerSec: 1, burst: 1, sets: 16, ...settings };
  const clock = { ms: START_MS };
  const buckets = new TokenBuckets(
    memory ?? new SharedArrayBuffer(TokenBuckets.bytes(full.sets)),
    full,
    () => clock.ms,
  );
  return { buckets, clock };
}

function taken(buckets: TokenBuckets, key: string, tries: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (buckets.take(key) === 0) count++;
  return count;
}

Deno.test("a full bucket gives its burst, whatever the rate, and not one more", () => {
  for (const ratePerSec of [0.001, 0.3, 1, 3, 7, 999, 3000, 100_000, 1_000_000]) {
    for (const burst of [1, 10, 12_345]) {
      const { buckets } = bucketsAt({ ratePerSec, burst });
      assert.equal(taken(buckets, "a", burst + 5), burst, `${ratePerSec} per second`);
    }
  }
});

Deno.test("take says how long until there is a token, and then there is one", () => {
  const { buckets, clock } = bucketsAt({ ratePerSec: 4, burst: 2 });
  assert.equal(taken(buckets, "a", 2), 2);
  assert.equal(buckets.take("a"), 250);
  clock.ms += 100;
  assert.equal(buckets.take("a"), 150);
  clock.ms += 149;
  assert.equal(buckets.take("a"), 1);
  clock.ms += 1;
  assert.equal(buckets.take("a"), 0);
  assert.equal(buckets.take("a"), 250);
  clock.ms += 1_000_000;
  assert.equal(taken(buckets, "a", 10), 2, "rest gives a burst back, not more");
});

Deno.test("a rate below one per second is kept", () => {
  const { buckets, clock } = bucketsAt({ ratePerSec: 0.01, burst: 1 });
  assert.equal(buckets.take("a"), 0);
  assert.equal(buckets.take("a"), 100_000);
  clock.ms += 99_999;
  assert.equal(buckets.take("a"), 1);
  clock.ms += 1;
  assert.equal(buckets.take("a"), 0);
});

Deno.test("keys do not touch each other", () => {
  const { buckets } = bucketsAt({ burst: 3 });
  assert.equal(taken(buckets, "192.0.2.1", 5), 3);
  assert.equal(taken(buckets, "192.0.2.2", 5), 3);
  assert.equal(taken(buckets, "", 5), 3);
});

Deno.test("peek says what take would, and takes nothing", () => {
  const { buckets } = bucketsAt({ ratePerSec: 2, burst: 2 });
  for (let i = 0; i < 5; i++) assert.equal(buckets.peek("a"), 0);
  assert.equal(taken(buckets, "a", 5), 2);
  assert.equal(buckets.peek("a"), 500);
  assert.equal(buckets.peek("b"), 0);
});

Deno.test("over any time a client gets what the rate and the burst allow, and no less", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.nat(3000), { minLength: 1, maxLength: 60 }),
      (ratePerSec, burst, waits) => {
        const { buckets, clock } = bucketsAt({ ratePerSec, burst });
        // The plain way: tokens that are counted.
        let tokens = burst;
        for (const wait of waits) {
          clock.ms += wait;
          tokens = Math.min(burst, tokens + wait * ratePerSec / 1000);
          const got = taken(buckets, "a", 3);
          // An interval is a whole number of ticks: the rate is off by 0.03 % at the most.
          const slack = 1e-6 + 3e-4 * ratePerSec * (clock.ms - START_MS) / 1000;
          assert.ok(got <= Math.min(3, tokens + slack) && got >= Math.min(3, Math.floor(tokens - slack)));
          tokens = Math.max(0, tokens - got);
        }
      },
    ),
  );
});

Deno.test("a clock that is set back shuts nobody out, and one that is set forward gives one burst", () => {
  const { buckets, clock } = bucketsAt({ ratePerSec: 1, burst: 5 });
  assert.equal(taken(buckets, "a", 10), 5);
  clock.ms -= 3_600_000;
  assert.equal(taken(buckets, "a", 10), 5);
  assert.equal(taken(buckets, "a", 10), 0);
  clock.ms += 7_200_000;
  assert.equal(taken(buckets, "a", 10), 5);
  clock.ms -= 500;
  assert.equal(taken(buckets, "a", 10), 0, "a small step back gives nothing away");
});

Deno.test("a million keys that all are short of tokens shut no new one out", () => {
  const { buckets } = bucketsAt({ ratePerSec: 0.001, burst: 1, sets: 1024 });
  for (let i = 0; i < 1_000_000; i++) {
    const key = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    assert.equal(buckets.take(key), 0);
    if (i % 1000 === 0) assert.ok(buckets.take(key) > 0, "and each is held to its limit");
  }
});

Deno.test("who is over the limit stays so while a flood of keys goes by that does not fill its set", () => {
  // 500 keys a millisecond with one token each, which comes back in 1 ms: about 500 of 7,168 buckets are in use.
  const { buckets, clock } = bucketsAt({ ratePerSec: 1000, burst: 50, sets: 1024 });
  let passed = taken(buckets, "hostile", 1000);
  for (let i = 0; i < 200_000; i++) {
    if (i % 500 === 0) {
      clock.ms++;
      passed += taken(buckets, "hostile", 10);
    }
    buckets.take(`k${i}`);
  }
  assert.equal(passed, 50 + 400);
});

Deno.test("where all buckets of a set are in use, the one that is nearest to full gives way", () => {
  const { buckets } = bucketsAt({ ratePerSec: 1, burst: 10, sets: 1 });
  for (let key = 0; key < 7; key++) assert.equal(taken(buckets, `k${key}`, 10 - key), 10 - key);
  // k6 has given 4 of its 10 tokens, the least of all.
  assert.equal(taken(buckets, "new", 5), 5);
  for (let key = 0; key < 6; key++) {
    const before = 10 - key;
    // What is asked for here must not push anybody else out: the rest of the burst is less than what `new` has.
    assert.equal(buckets.peek(`k${key}`) > 0, before === 10, `k${key}`);
  }
  assert.equal(taken(buckets, "k0", 10), 0);
  assert.equal(taken(buckets, "k1", 10), 1);
  assert.equal(taken(buckets, "k6", 20), 10, "it has its whole burst again, once");
});

Deno.test("a lock whose holder has died holds nobody up for ever", () => {
  const memory = new SharedArrayBuffer(TokenBuckets.bytes(1));
  const { buckets } = bucketsAt({ burst: 2, sets: 1 }, memory);
  assert.equal(buckets.take("a"), 0);
  const words = new Int32Array(memory);
  const lock = 32;
  assert.equal(words[lock], 0);
  words[lock] = 0x7777_0001;
  assert.equal(buckets.take("a"), 0);
  assert.equal(words[lock], 0, "and is free again");
  assert.ok(buckets.take("a") > 0);
});

Deno.test("views made later on the same memory see the same buckets", () => {
  const memory = new SharedArrayBuffer(TokenBuckets.bytes(64) + 8);
  const one = bucketsAt({ burst: 9, sets: 64 }, memory).buckets;
  assert.equal(taken(one, "a", 6), 6);
  const other = bucketsAt({ burst: 9, sets: 64 }, memory).buckets;
  assert.equal(taken(other, "a", 6), 3);
  assert.equal(new Int32Array(memory).at(-1), 0, "memory behind the buckets is left alone");
});

Deno.test("HalfSipHash tells texts and secrets apart and spreads its results", () => {
  const hash = new HalfSipHash(1, 2);
  const digest = (text: string) => {
    hash.digest(text);
    return `${hash.low} ${hash.high}`;
  };
  const texts = [
    "",
    "\0",
    "a",
    "aa",
    "aaa",
    "aaaa",
    "a\0",
    "\0a",
    "ab",
    "ba",
    "\u0100",
    "\u0001",
    "x".repeat(128),
  ];
  assert.equal(new Set(texts.map(digest)).size, texts.length);
  assert.equal(digest("192.0.2.1"), digest("192.0.2.1"));
  const other = new HalfSipHash(1, 3);
  other.digest("a");
  assert.notEqual(`${other.low} ${other.high}`, digest("a"));

  const counts = new Map<number, number>();
  const seen = new Set<string>();
  for (let i = 0; i < 65_536; i++) {
    seen.add(digest(`10.0.${i >> 8}.${i & 255}`));
    counts.set(hash.low & 255, (counts.get(hash.low & 255) ?? 0) + 1);
  }
  assert.equal(seen.size, 65_536);
  // 256 in each of 256 places, give or take six standard deviations.
  for (let place = 0; place < 256; place++) {
    const count = counts.get(place) ?? 0;
    assert.ok(count > 160 && count < 352, `${count} of 65,536 keys in one of 256 places`);
  }
});

/** Lets threads take from the same memory at the same time. @returns what each key gave in all */
async function takeInThreads(threads: number, order: Omit<TakeOrder, "memory" | "gate">): Promise<number[]> {
  const memory = new SharedArrayBuffer(TokenBuckets.bytes(order.settings.sets));
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./take_worker.ts", import.meta.url), { type: "module" }),
  );
  const message = <T>(worker: Worker) =>
    new Promise<T>((resolve, reject) => {
      worker.onmessage = (event: MessageEvent<T>) => resolve(event.data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
  try {
    await Promise.all(workers.map((worker) => {
      const ready = message(worker);
      worker.postMessage({ ...order, memory, gate } satisfies TakeOrder);
      return ready;
    }));
    const done = Promise.all(workers.map(message<number[]>));
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const got = await done;
    return order.keys.map((_key, index) => got.reduce((sum, counts) => sum + counts[index], 0));
  } finally {
    workers.forEach((worker) => worker.terminate());
  }
}

Deno.test("two threads together get exactly one burst of each key", async () => {
  const keys = Array.from({ length: 40 }, (_, i) => `192.0.2.${i}`);
  const settings: BucketSettings = { ratePerSec: 1, burst: 3000, sets: 4096 };
  const got = await takeInThreads(2, { settings, nowMs: START_MS, keys, takes: 2500 });
  assert.deepEqual(got, keys.map(() => 3000));
});

Deno.test("four threads that fight for one bucket get exactly one burst", async () => {
  const settings: BucketSettings = { ratePerSec: 1, burst: 60_000, sets: 1 };
  const got = await takeInThreads(4, { settings, nowMs: START_MS, keys: [""], takes: 20_000 });
  assert.deepEqual(got, [60_000]);
});
