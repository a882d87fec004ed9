/** A change of a text, line by line. */
import type { DiffLine } from "../api.ts";
import { useConsole } from "./context.ts";
import { Empty } from "./widgets.tsx";

const CONTEXT_LINES = 3;
const MARKS = { same: " ", removed: "−", added: "+" };

export function DiffView({ diff }: { diff: readonly DiffLine[] }) {
  const { t } = useConsole();
  const shown = withContext(diff);
  if (shown.length === 0) return <Empty>{t("diff.none")}</Empty>;
  const count = (kind: DiffLine["kind"]) => diff.filter((line) => line.kind === kind).length;
  return (
    <>
      <p class="hint">{t("diff.summary", { added: count("added"), removed: count("removed") })}</p>
      <div class="diff" role="table" aria-label={t("diff.title")} tabIndex={0}>
        {shown.map((line, index) =>
          line === null
            ? <div key={index} class="diff-gap" role="row">⋯</div>
            : (
              <div key={index} class={`diff-line diff-${line.kind}`} role="row">
                <span class="diff-number" role="cell">{line.old_line ?? ""}</span>
                <span class="diff-number" role="cell">{line.new_line ?? ""}</span>
                <span class="diff-mark" role="cell" aria-label={t(`diff.${line.kind}`)}>
                  {MARKS[line.kind]}
                </span>
                <code role="cell">{line.text}</code>
              </div>
            )
        )}
      </div>
    </>
  );
}

/** Changed lines with same ones around them; null stands for a gap. */
function withContext(diff: readonly DiffLine[]): (DiffLine | null)[] {
  const shown: (DiffLine | null)[] = [];
  diff.forEach((line, index) => {
    const around = diff.slice(Math.max(0, index - CONTEXT_LINES), index + CONTEXT_LINES + 1);
    if (around.some(({ kind }) => kind !== "same")) shown.push(line);
    else if (shown.length > 0 && shown.at(-1) !== null) shown.push(null);
  });
  return shown.at(-1) === null ? shown.slice(0, -1) : shown;
}
