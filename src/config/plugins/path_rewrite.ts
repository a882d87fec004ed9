/** Settings of `type = "pathrewrite"`. */
import type * as z from "zod";
import { closedTable, field, parsedText } from "../fields.ts";
import { parsePathPrefix } from "../text_values.ts";

const prefix = () => parsedText('a path in quotes, such as "/old"', parsePathPrefix);

export const pathRewriteSettings = closedTable({
  from_prefix: field(
    prefix(),
    "Start of the paths that are rewritten, by whole parts: /old stands for /old and /old/x, not for /older.",
    { example: "/old" },
  ),
  to_prefix: field(
    prefix(),
    "What takes its place: from /old to /new makes /old/x?y=1 into /new/x?y=1. / takes the prefix away.",
    { example: "/new" },
  ),
});

export type PathRewriteSettings = z.output<typeof pathRewriteSettings>;
