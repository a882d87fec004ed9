/** The console's files. `index.html` is the page at /admin, the others are at /admin/assets/NAME. */

export const CONSOLE_ASSETS: Record<string, { type: string; body: string | Uint8Array<ArrayBuffer> }> = {};
