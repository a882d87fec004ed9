/** Replacing a file so that whoever reads it meanwhile sees the old text or the new one, never a part. */
import { basename, dirname, join } from "node:path";

/**
 * Writes the text beside the file, brings it to the disk and renames it over the file, whose mode and owner it
 * takes over. Throws what the file system says; the file is then as it was.
 * @param path of an existing file that is no link
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const { mode, uid, gid } = await Deno.stat(path);
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}.tmp`);
  try {
    // Nobody else may read it before it has the mode of the one it replaces.
    using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
    const bytes = new TextEncoder().encode(text);
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    if (mode !== null && Deno.build.os !== "windows") {
      await keepOwner(temporary, uid, gid);
      await Deno.chmod(temporary, mode & 0o7777);
    }
    await file.sync();
    await Deno.rename(temporary, path);
  } catch (fault) {
    await removeQuietly(temporary);
    throw fault;
  }
  await syncFolder(dirname(path));
}

async function keepOwner(path: string, uid: number | null, gid: number | null): Promise<void> {
  const own = await Deno.stat(path);
  if (own.uid === uid && own.gid === gid) return;
  try {
    await Deno.chown(path, uid, gid);
  } catch (fault) {
    // Only root may give files away; the file is then the program's own, which can read it.
    if (!(fault instanceof Deno.errors.PermissionDenied || fault instanceof Deno.errors.NotCapable)) {
      throw fault;
    }
  }
}

async function removeQuietly(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (fault) {
    // It was never made, or the disk is as full as before: the first fault is the one to tell.
    if (!(fault instanceof Error)) throw fault;
  }
}

/** A rename is on the disk when its folder is. */
async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path, { read: true });
  await folder.sync();
}
