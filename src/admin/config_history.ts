/** Earlier texts of the configuration file, kept in a folder beside it that only its owner can read. */
import { join } from "node:path";
import { type ConfigVersion, HISTORY_LIMIT } from "./api.ts";

/** Ids are times, so that they sort: `20261123T202500123Z`, and `-2` for a second one of the same millisecond. */
const ID = /^\d{8}T\d{9}Z(?:-\d{1,3})?$/;

export class ConfigHistory {
  readonly #folder: string;

  /** @param configPath of the file itself, not of a link to it */
  constructor(configPath: string) {
    this.#folder = `${configPath}.history`;
  }

  /** Keeps a text that is about to be replaced, and removes the oldest beyond HISTORY_LIMIT. */
  async add(text: string, about: Pick<ConfigVersion, "replaced_by" | "replaced_through">): Promise<string> {
    await Deno.mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const now = new Date().toISOString();
    const version = { replaced_at: now, ...about, bytes: new TextEncoder().encode(text).length };
    const id = await this.#write(now.replace(/[-:.]/g, ""), text);
    await Deno.writeTextFile(this.#path(id, "json"), JSON.stringify(version) + "\n", { mode: 0o600 });
    const ids = await this.#ids();
    for (const old of ids.slice(HISTORY_LIMIT)) {
      await Deno.remove(this.#path(old, "toml"));
      await removeIfThere(this.#path(old, "json"));
    }
    return id;
  }

  /** Newest first. */
  async list(): Promise<ConfigVersion[]> {
    const versions: ConfigVersion[] = [];
    for (const id of await this.#ids()) {
      const about = await readIfThere(this.#path(id, "json"));
      const { size } = await Deno.stat(this.#path(id, "toml"));
      versions.push({ id, ...aboutOf(about, id), bytes: size });
    }
    return versions;
  }

  /** Null if there is no such version. */
  read(id: string): Promise<string | null> {
    return ID.test(id) ? readIfThere(this.#path(id, "toml")) : Promise.resolve(null);
  }

  async #write(time: string, text: string): Promise<string> {
    for (let number = 1;; number++) {
      const id = number === 1 ? time : `${time}-${number}`;
      try {
        await Deno.writeTextFile(this.#path(id, "toml"), text, { createNew: true, mode: 0o600 });
        return id;
      } catch (fault) {
        if (!(fault instanceof Deno.errors.AlreadyExists)) throw fault;
      }
    }
  }

  async #ids(): Promise<string[]> {
    const ids: string[] = [];
    try {
      for await (const { name } of Deno.readDir(this.#folder)) {
        const id = name.replace(/\.toml$/, "");
        if (id !== name && ID.test(id)) ids.push(id);
      }
    } catch (fault) {
      if (!(fault instanceof Deno.errors.NotFound)) throw fault;
    }
    return ids.sort().reverse();
  }

  #path(id: string, extension: "toml" | "json"): string {
    return join(this.#folder, `${id}.${extension}`);
  }
}

type About = Pick<ConfigVersion, "replaced_at" | "replaced_by" | "replaced_through">;

/** What stands beside a version; a folder that somebody has tidied up by hand still has its texts. */
function aboutOf(text: string | null, id: string): About {
  const [, year, month, day, hour, minute, second, millisecond] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z/.exec(id)!;
  const about: About = {
    replaced_at: `${year}-${month}-${day}T${hour}:${minute}:${second}.${millisecond}Z`,
    replaced_by: "unknown",
    replaced_through: "edit",
  };
  try {
    return text === null ? about : { ...about, ...JSON.parse(text) as About };
  } catch (fault) {
    if (fault instanceof SyntaxError) return about;
    throw fault;
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return null;
    throw fault;
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (fault) {
    if (!(fault instanceof Deno.errors.NotFound)) throw fault;
  }
}
