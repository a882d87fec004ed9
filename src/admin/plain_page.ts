/** The page at /admin of a build without the console: it says what there is. */
import { VERSION } from "../version.ts";
import { ENDPOINTS } from "./endpoints.ts";

export function plainPage(): string {
  const rows = ENDPOINTS.map(({ method, path, role, summary }) =>
    `<tr><td>${method.toUpperCase()}</td><td><code>${path}</code></td><td>${
      role ?? ""
    }</td><td>${summary}</td></tr>`
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Dispa admin API</title>
<h1>Dispa ${VERSION}</h1>
<p>This build has no console. The admin API answers:</p>
<table>
<tr><th>Method</th><th>Path</th><th>Role</th><th></th></tr>
${rows.join("\n")}
</table>
</html>
`;
}
