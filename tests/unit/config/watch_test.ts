import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { watchConfig, type WatchOptions } from "../../../src/config/mod.ts";
import { withFolder } from "./support.ts";

/** So long that only events, and never the regular look, can be what a test sees. */
const NEVER = 3_600_000;
const BY_EVENTS: WatchOptions = { debounceMs: 10, pollMs: NEVER };
const BY_LOOKING: WatchOptions = { debounceMs: 1, pollMs: 10 };

/** Counts calls and lets a test wait for them. */
class Calls {
  count = 0;
  #waiting: (() => void) | null = null;

  readonly add = (): void => {
    this.count++;
    this.#waiting?.();
  };

  /** Resolves when there have been `count` calls in all; rejects if they do not come. */
  async reach(count: number): Promise<void> {
    if (this.count >= count) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const deadline = setTimeout(() => reject(new Error(`${this.count} calls instead of ${count}`)), 20_000);
    this.#waiting = () => {
      if (this.count >= count) resolve();
    };
    try {
      await promise;
    } finally {
      clearTimeout(deadline);
      this.#waiting = null;
    }
  }
}

/** Watches a path while `body` runs; what the watch leaves behind is found by the test sanitizers. */
async function observe(
  path: string,
  options: WatchOptions,
  body: (calls: Calls) => Promise<void>,
): Promise<void> {
  const calls = new Calls();
  const watch = watchConfig(path, calls.add, options);
  try {
    await body(calls);
  } finally {
    watch.close();
    await watch.finished;
  }
}

interface Watched {
  folder: string;
  path: string;
  calls: Calls;
}

/** Watches a file that reads "one", in a folder `config` of its own. */
async function watching(options: WatchOptions, body: (watched: Watched) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "config"));
    const path = join(folder, "config", "dispa.toml");
    await Deno.writeTextFile(path, "one");
    await observe(path, { initialText: "one", ...options }, (calls) => body({ folder, path, calls }));
  });
}

/** Unlike writing in place, this never lets an empty file be seen. */
async function replace(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.fresh`, text);
  await Deno.rename(`${path}.fresh`, path);
}

Deno.test("watchConfig notices a file that is written in place", async () => {
  await watching(BY_EVENTS, async ({ path, calls }) => {
    await Deno.writeTextFile(path, "two");
    await calls.reach(1);
    await Deno.writeTextFile(path, "three");
    await calls.reach(2);
  });
});

Deno.test("watchConfig notices a file that is replaced by rename, again and again", async () => {
  await watching(BY_EVENTS, async ({ path, calls }) => {
    for (let round = 1; round <= 3; round++) {
      await replace(path, `round ${round}`);
      await calls.reach(round);
    }
  });
});

Deno.test("watchConfig notices the swapped link of a Kubernetes volume", async () => {
  await withFolder(async (folder) => {
    for (const version of ["v1", "v2"]) {
      await Deno.mkdir(join(folder, version));
      await Deno.writeTextFile(join(folder, version, "dispa.toml"), version);
    }
    await Deno.symlink("v1", join(folder, "..data"));
    await Deno.symlink(join("..data", "dispa.toml"), join(folder, "dispa.toml"));
    await observe(join(folder, "dispa.toml"), { ...BY_EVENTS, initialText: "v1" }, async (calls) => {
      await Deno.symlink("v2", join(folder, "..data_tmp"));
      await Deno.rename(join(folder, "..data_tmp"), join(folder, "..data"));
      await calls.reach(1);
    });
  });
});

Deno.test("watchConfig notices a file that goes, and that it is back", async () => {
  await watching(BY_EVENTS, async ({ path, calls }) => {
    await Deno.remove(path);
    await calls.reach(1);
    await Deno.writeTextFile(path, "one");
    await calls.reach(2);
  });
});

Deno.test("watchConfig follows when the folder is replaced", async () => {
  await watching(BY_LOOKING, async ({ folder, path, calls }) => {
    await Deno.rename(join(folder, "config"), join(folder, "old"));
    await calls.reach(1);
    await Deno.mkdir(join(folder, "config"));
    await replace(path, "two");
    await calls.reach(2);
    await replace(path, "three");
    await calls.reach(3);
  });
});

Deno.test("watchConfig notices by looking what no event tells: a link to a file elsewhere", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "elsewhere"));
    await Deno.mkdir(join(folder, "config"));
    const real = join(folder, "elsewhere", "real.toml");
    await Deno.writeTextFile(real, "one");
    await Deno.symlink(real, join(folder, "config", "dispa.toml"));
    const options = { ...BY_LOOKING, initialText: "one" };
    await observe(join(folder, "config", "dispa.toml"), options, async (calls) => {
      await Deno.writeTextFile(real, "another one");
      await calls.reach(1);
    });
  });
});

Deno.test("watchConfig takes a path relative to the working directory", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.toml");
    await Deno.writeTextFile(path, "one");
    await observe(relative(Deno.cwd(), path), { ...BY_EVENTS, initialText: "one" }, async (calls) => {
      await Deno.writeTextFile(path, "two");
      await calls.reach(1);
    });
  });
});

Deno.test("watchConfig notices what changed between loading and watching", async () => {
  await watching({ ...BY_EVENTS, initialText: "what was loaded before" }, async ({ calls }) => {
    await calls.reach(1);
  });
});

/** Lets a watch of another file in the folder see ten changes, by when a watch beside it has had its time. */
async function passTime(folder: string): Promise<void> {
  const path = join(folder, "beside.toml");
  await Deno.writeTextFile(path, "start");
  await observe(path, { ...BY_LOOKING, initialText: "start" }, async (calls) => {
    for (let round = 1; round <= 10; round++) {
      await replace(path, `round ${round}`);
      await calls.reach(round);
    }
  });
}

Deno.test("watchConfig without a known text starts from what is there", async () => {
  await watching({ ...BY_LOOKING, initialText: undefined }, async ({ folder, path, calls }) => {
    await passTime(join(folder, "config"));
    assert.equal(calls.count, 0);
    await replace(path, "two");
    await calls.reach(1);
  });
});

Deno.test("watchConfig is silent while the content stays the same", async () => {
  await watching(BY_LOOKING, async ({ folder, path, calls }) => {
    await replace(path, "one");
    await passTime(join(folder, "config"));
    await Deno.utime(path, 1, 1);
    await passTime(join(folder, "config"));
    assert.equal(calls.count, 0);
  });
});

Deno.test("watchConfig waits for one call to end before it makes the next", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.toml");
    await Deno.writeTextFile(path, "one");
    const calls = new Calls();
    const gate = Promise.withResolvers<void>();
    const onChange = async () => {
      calls.add();
      await gate.promise;
    };
    const watch = watchConfig(path, onChange, { ...BY_LOOKING, initialText: "one" });
    try {
      await replace(path, "two");
      await calls.reach(1);
      await replace(path, "three");
      await passTime(folder);
      assert.equal(calls.count, 1);
      gate.resolve();
      await calls.reach(2);
    } finally {
      gate.resolve();
      watch.close();
      await watch.finished;
    }
  });
});

Deno.test("watchConfig ends by its signal, at once, also one that was aborted before", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.toml");
    await Deno.writeTextFile(path, "one");
    const control = new AbortController();
    const calls = new Calls();
    const watch = watchConfig(path, calls.add, { ...BY_EVENTS, debounceMs: NEVER, signal: control.signal });
    await Deno.writeTextFile(path, "two");
    control.abort();
    await watch.finished;
    await watchConfig(path, calls.add, { ...BY_EVENTS, signal: control.signal }).finished;
    assert.equal(calls.count, 0);
  });
});

Deno.test("watchConfig tells by its promise that a call has thrown, and ends", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "dispa.toml");
    await Deno.writeTextFile(path, "one");
    const watch = watchConfig(path, () => {
      throw new Error("reload broke");
    }, { ...BY_EVENTS, initialText: "zero" });
    await assert.rejects(watch.finished, /reload broke/);
  });
});
